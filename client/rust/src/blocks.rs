//! Blocks of memory: what an allocator does.
//!
//! There are three kinds of blocks.  A block of 1 MiB or more is a region of its own: it has 512 GiB of address space,
//! so it grows in place, however many others there are.  Smaller blocks share a heap, which the first one makes; a
//! block that grows to 1 MiB is copied once, into a region.  And of an allocator on a file, one block at a time is the
//! file.
//!
//! `State` knows the regions.  Once client and heap are there, its lock is never held while the library may wait for
//! the daemon, so a vector that waits keeps no other waiting: a block belongs to whoever has it, and nobody else
//! resizes or frees it.

use crate::{error, region::Region, sys};
use std::{
    alloc::{AllocError, Layout},
    collections::BTreeMap,
    ffi::CString,
    fmt, io,
    os::raw::c_void,
    ptr::{self, NonNull},
    sync::{Mutex, MutexGuard},
};

/// Blocks of so many bytes are regions.
const REGION_FROM: usize = 1 << 20;
/// Each region begins at a multiple of this; few blocks of a heap do.
const REGION_ALIGN: usize = 2 << 20;
/// Each block of a heap is aligned to this.
const HEAP_ALIGN: usize = 16;

#[derive(Default)]
struct State {
    client: Option<NonNull<sys::Client>>,
    heap: Option<NonNull<sys::Heap>>,
    regions: BTreeMap<usize, Region>, // by address
    file: Option<Region>,
    file_is_used: bool,
}

/// Where a block lies.
enum Place {
    File(Region),
    Region(Region),
    Heap(NonNull<sys::Heap>),
}

/// What the clones of an allocator share.
pub(crate) struct Shared {
    address: Option<CString>,
    state: Mutex<State>,
}

// Any thread may use the library's clients, heaps and regions.
unsafe impl Send for Shared {}
unsafe impl Sync for Shared {}

impl Drop for Shared {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(|e| e.into_inner());

        for region in state.regions.values().chain(&state.file) {
            region.close();
        }
        unsafe {
            if let Some(heap) = state.heap {
                sys::diskalloc_heap_close(heap.as_ptr());
            }
            if let Some(client) = state.client {
                sys::diskalloc_close(client.as_ptr());
            }
        }
    }
}

fn block(data: NonNull<u8>, size: usize) -> NonNull<[u8]> {
    // Never NULL, as DATA is not.
    unsafe { NonNull::new_unchecked(ptr::slice_from_raw_parts_mut(data.as_ptr(), size)) }
}

fn found(at: *mut c_void) -> Result<NonNull<u8>, AllocError> {
    NonNull::new(at.cast()).ok_or(AllocError)
}

unsafe fn zero(data: NonNull<u8>, from: usize, to: usize) {
    if from < to {
        ptr::write_bytes(data.as_ptr().add(from), 0, to - from);
    }
}

fn dangling(layout: Layout) -> NonNull<u8> {
    // An alignment is never 0.
    unsafe { NonNull::new_unchecked(layout.align() as *mut u8) }
}

impl Shared {
    /// At an address; `None`: where the environment says.
    pub fn open(address: Option<CString>) -> io::Result<Self> {
        let shared = Self { address, state: Mutex::default() };

        shared.client(&mut shared.lock())?;
        Ok(shared)
    }

    /// On a file, which may be written to.
    pub fn on_file(file: Region) -> Self {
        let state = State { file: Some(file), ..State::default() };

        Self { address: None, state: Mutex::new(state) }
    }

    pub fn describe(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.lock();

        f.debug_struct("DiskAlloc")
            .field("on_file", &state.file.is_some())
            .field("regions", &state.regions.len())
            .finish_non_exhaustive()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// The client, which the first call makes.
    fn client(&self, state: &mut State) -> io::Result<NonNull<sys::Client>> {
        if let Some(client) = state.client {
            return Ok(client);
        }
        let address = self.address.as_ref().map_or(ptr::null(), |a| a.as_ptr());
        let mut client = ptr::null_mut();

        error::check(unsafe { sys::diskalloc_open(address, ptr::null(), &mut client) })?;
        state.client = NonNull::new(client);
        state.client.ok_or_else(|| io::ErrorKind::Other.into())
    }

    fn client_again(&self) -> Result<NonNull<sys::Client>, AllocError> {
        self.client(&mut self.lock()).map_err(|_| AllocError)
    }

    fn heap(&self) -> Result<NonNull<sys::Heap>, AllocError> {
        let mut state = self.lock();

        if state.heap.is_none() {
            let client = self.client(&mut state).map_err(|_| AllocError)?;
            let mut heap = ptr::null_mut();

            if unsafe { sys::diskalloc_heap_new(client.as_ptr(), &mut heap) } < 0 {
                return Err(AllocError);
            }
            state.heap = NonNull::new(heap);
        }
        state.heap.ok_or(AllocError)
    }

    /// The file, for a block that has it from now on.
    fn take_file(&self) -> Option<Region> {
        let mut state = self.lock();

        if state.file_is_used {
            return None;
        }
        state.file_is_used = state.file.is_some();
        state.file
    }

    /// A block at the beginning of the file, whose content stays: SIZE bytes of it at least have blocks on disk.
    fn allocate_file(&self, file: Region, size: usize, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let before = file.size();

        if file.resize(size.max(before)).is_err() {
            self.lock().file_is_used = false;
            return Err(AllocError);
        }
        if zeroed {
            unsafe { zero(file.data(), 0, size.min(before)) };
        }
        Ok(file.data())
    }

    /// Zero bytes.
    fn allocate_region(&self, size: usize) -> Result<NonNull<u8>, AllocError> {
        let region = Region::create(self.client_again()?)?;

        if let Err(e) = region.resize(size) {
            region.close();
            return Err(e);
        }
        self.lock().regions.insert(region.data().as_ptr() as usize, region);
        Ok(region.data())
    }

    fn allocate_heap(&self, layout: Layout, zeroed: bool) -> Result<NonNull<u8>, AllocError> {
        let heap = self.heap()?.as_ptr();

        unsafe {
            if layout.align() > HEAP_ALIGN {
                let data = found(sys::diskalloc_heap_memalign(heap, layout.align(), layout.size()))?;

                if zeroed {
                    zero(data, 0, layout.size());
                }
                Ok(data)
            } else if zeroed {
                found(sys::diskalloc_heap_calloc(heap, 1, layout.size()))
            } else {
                found(sys::diskalloc_heap_malloc(heap, layout.size()))
            }
        }
    }

    pub fn allocate(&self, layout: Layout, zeroed: bool) -> Result<NonNull<[u8]>, AllocError> {
        let size = layout.size();

        if size == 0 {
            return Ok(block(dangling(layout), 0));
        }
        let data = if layout.align() > REGION_ALIGN {
            self.allocate_heap(layout, zeroed)?
        } else if let Some(file) = self.take_file() {
            self.allocate_file(file, size, zeroed)?
        } else if size >= REGION_FROM {
            self.allocate_region(size)?
        } else {
            self.allocate_heap(layout, zeroed)?
        };
        Ok(block(data, size))
    }

    fn place(&self, data: NonNull<u8>) -> Result<Place, AllocError> {
        let address = data.as_ptr() as usize;
        let state = self.lock();

        if address % REGION_ALIGN == 0 {
            match state.file {
                Some(file) if file.data() == data => return Ok(Place::File(file)),
                _ => (),
            }
            if let Some(region) = state.regions.get(&address) {
                return Ok(Place::Region(*region));
            }
        }
        state.heap.map(Place::Heap).ok_or(AllocError)
    }

    pub unsafe fn deallocate(&self, data: NonNull<u8>, layout: Layout) {
        if layout.size() == 0 {
            return;
        }
        match self.place(data) {
            Ok(Place::File(_)) => self.lock().file_is_used = false,
            Ok(Place::Region(region)) => {
                self.lock().regions.remove(&(data.as_ptr() as usize));
                region.close();
            }
            Ok(Place::Heap(heap)) => sys::diskalloc_heap_free(heap.as_ptr(), data.as_ptr().cast()),
            Err(_) => (), // no block of this allocator
        }
    }

    /// Copies a block to where it has room.
    unsafe fn copy(
        &self,
        data: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        let there = self.allocate(new, false)?;
        let to = there.cast::<u8>();

        ptr::copy_nonoverlapping(data.as_ptr(), to.as_ptr(), old.size().min(new.size()));
        if zeroed {
            zero(to, old.size(), new.size());
        }
        self.deallocate(data, old);
        Ok(there)
    }

    /// What is there already behind the old size has an old content.
    unsafe fn grow_region(region: Region, old: usize, new: usize, zeroed: bool) -> Result<(), AllocError> {
        let before = region.size();

        region.resize(new.max(before))?;
        if zeroed {
            zero(region.data(), old, new.min(before));
        }
        Ok(())
    }

    /// None: the block has to be copied.
    unsafe fn grow_in_heap(
        heap: NonNull<sys::Heap>,
        data: NonNull<u8>,
        new: Layout,
    ) -> Result<Option<NonNull<u8>>, AllocError> {
        if new.align() <= HEAP_ALIGN && new.size() < REGION_FROM {
            let moved = sys::diskalloc_heap_realloc(heap.as_ptr(), data.as_ptr().cast(), new.size());

            return found(moved).map(Some);
        }
        let fits = sys::diskalloc_heap_usable_size(heap.as_ptr(), data.as_ptr().cast()) >= new.size();

        Ok(if fits { Some(data) } else { None })
    }

    pub unsafe fn grow(
        &self,
        data: NonNull<u8>,
        old: Layout,
        new: Layout,
        zeroed: bool,
    ) -> Result<NonNull<[u8]>, AllocError> {
        if old.size() == 0 {
            return self.allocate(new, zeroed);
        }
        if data.as_ptr() as usize % new.align() != 0 {
            return self.copy(data, old, new, zeroed);
        }
        match self.place(data)? {
            Place::File(region) | Place::Region(region) if new.size() <= region.reserve() => {
                Self::grow_region(region, old.size(), new.size(), zeroed)?;
                Ok(block(data, new.size()))
            }
            // A vector of more than 512 GiB, or one of very many: it is copied to where it has more address space.
            Place::Region(_) => self.copy(data, old, new, zeroed),
            Place::File(_) => Err(AllocError),
            Place::Heap(heap) => match Self::grow_in_heap(heap, data, new)? {
                Some(at) => {
                    if zeroed {
                        zero(at, old.size(), new.size());
                    }
                    Ok(block(at, new.size()))
                }
                None => self.copy(data, old, new, zeroed),
            },
        }
    }

    /// Bytes that can't be given back are kept: that is no failure.
    pub unsafe fn shrink(&self, data: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        if new.size() == 0 {
            self.deallocate(data, old);
            return Ok(block(dangling(new), 0));
        }
        if data.as_ptr() as usize % new.align() != 0 {
            return self.copy(data, old, new, false);
        }
        match self.place(data)? {
            Place::File(region) | Place::Region(region) => {
                let _kept = region.resize(new.size());
            }
            Place::Heap(heap) if new.align() <= HEAP_ALIGN => {
                let moved = sys::diskalloc_heap_realloc(heap.as_ptr(), data.as_ptr().cast(), new.size());

                return Ok(block(NonNull::new(moved.cast()).unwrap_or(data), new.size()));
            }
            Place::Heap(_) => (),
        }
        Ok(block(data, new.size()))
    }
}
