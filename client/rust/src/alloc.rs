//! The allocator.

use crate::{blocks::Shared, error, region::Region};
use std::{
    alloc::{AllocError, Allocator, Layout},
    ffi::CString,
    fmt,
    fs::File,
    io,
    os::unix::io::AsRawFd,
    ptr::NonNull,
    sync::Arc,
};

const EROFS: i32 = 30;

/// Memory on disk, for vectors that are larger than memory.
///
/// ```
/// #![feature(allocator_api)]
/// use diskallocator::DiskAlloc;
///
/// let alloc = DiskAlloc::new().unwrap();
/// let mut v: Vec<u64, DiskAlloc> = Vec::new_in(alloc);
/// v.push(42);
/// ```
///
/// Clones are the same allocator: any number of vectors may use it, on any threads, and each grows in place once it has
/// 1 MiB.  Elements should keep their data inside themselves: what a `String` or a `Box` points to is in memory as
/// ever.
///
/// Where the memory is, and who counts it, is told by `$DISKALLOC_ADDRESS` (`unix:/…` a daemon, `dir:/…` a directory);
/// without it, it is the daemon's of this machine, or a directory for temporary files if there is none.
#[derive(Clone)]
pub struct DiskAlloc {
    shared: Arc<Shared>,
}

impl DiskAlloc {
    /// An allocator whose memory is anonymous: it is gone when it is freed, or when the program ends in whatever way.
    ///
    /// # Errors
    /// There is a daemon and it refuses this program or does not answer, or no directory can be used.
    /// [`Error`] inside says which.
    pub fn new() -> io::Result<Self> {
        Self::open(None)
    }

    /// The same at an address: `unix:/path.sock` or `dir:/path`.
    ///
    /// # Errors
    /// As [`DiskAlloc::new`]; `InvalidInput`: that is no address.
    pub fn at(address: &str) -> io::Result<Self> {
        let address = CString::new(address).map_err(|_| io::ErrorKind::InvalidInput)?;

        Self::open(Some(address))
    }

    fn open(address: Option<CString>) -> io::Result<Self> {
        Ok(Self { shared: Arc::new(Shared::open(address)?) })
    }

    /// An allocator whose first block is the content of a file, which has to be open for reading and writing.
    ///
    /// The file is as long as the block, and has its bytes.  What was in it before stays until it is written over, also
    /// a part behind the block; a vector does not see it, as it begins with no elements.  The file keeps its bytes when
    /// the block is freed.  While a block has the file, further blocks are anonymous, as with [`DiskAlloc::new`]; so
    /// only they need a daemon or a directory.
    ///
    /// Nobody else may cut the file meanwhile: the program would die of SIGBUS.
    ///
    /// # Errors
    /// The file is not regular, not open for reading and writing (`PermissionDenied`), or there is no address space
    /// (`OutOfMemory`).
    pub fn on_file(file: File) -> io::Result<Self> {
        let region = Region::from_fd(file.as_raw_fd())?;

        // A region that may only be read refuses to be resized.
        if region.resize(region.size()).is_err() {
            let why = error::last_error();

            region.close();
            return Err(match why {
                Some(e) if e.code() == EROFS => io::Error::new(io::ErrorKind::PermissionDenied, e),
                Some(e) => e.into(),
                None => io::ErrorKind::Other.into(),
            });
        }
        Ok(Self { shared: Arc::new(Shared::on_file(region)) })
    }
}

impl fmt::Debug for DiskAlloc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.shared.describe(f)
    }
}

unsafe impl Allocator for DiskAlloc {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.shared.allocate(layout, false)
    }

    fn allocate_zeroed(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.shared.allocate(layout, true)
    }

    unsafe fn deallocate(&self, data: NonNull<u8>, layout: Layout) {
        self.shared.deallocate(data, layout)
    }

    unsafe fn grow(&self, data: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.shared.grow(data, old, new, false)
    }

    unsafe fn grow_zeroed(&self, data: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.shared.grow(data, old, new, true)
    }

    unsafe fn shrink(&self, data: NonNull<u8>, old: Layout, new: Layout) -> Result<NonNull<[u8]>, AllocError> {
        self.shared.shrink(data, old, new)
    }
}
