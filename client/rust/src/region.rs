//! A region of the library: memory that grows in place.

use crate::{error, sys};
use std::{alloc::AllocError, io, ptr, ptr::NonNull};

#[derive(Clone, Copy)]
pub(crate) struct Region(NonNull<sys::Region>);

impl Region {
    /// Anonymous and empty.
    pub fn create(client: NonNull<sys::Client>) -> Result<Self, AllocError> {
        let mut made = ptr::null_mut();

        match unsafe { sys::diskalloc_region_create(client.as_ptr(), ptr::null(), &mut made) } {
            0 => NonNull::new(made).map(Self).ok_or(AllocError),
            _ => Err(AllocError),
        }
    }

    /// Of a file; the library takes a descriptor of its own.
    pub fn from_fd(fd: i32) -> io::Result<Self> {
        let mut made = ptr::null_mut();

        error::check(unsafe { sys::diskalloc_region_from_fd(fd, ptr::null(), &mut made) })?;
        NonNull::new(made).map(Self).ok_or_else(|| io::ErrorKind::Other.into())
    }

    pub fn data(self) -> NonNull<u8> {
        // Never NULL: a region has its address space from the beginning.
        unsafe { NonNull::new_unchecked(sys::diskalloc_region_data(self.0.as_ptr()).cast()) }
    }

    pub fn size(self) -> usize {
        unsafe { sys::diskalloc_region_size(self.0.as_ptr()) as usize }
    }

    pub fn reserve(self) -> usize {
        unsafe { sys::diskalloc_region_reserve(self.0.as_ptr()) as usize }
    }

    pub fn resize(self, size: usize) -> Result<(), AllocError> {
        match unsafe { sys::diskalloc_region_resize(self.0.as_ptr(), size as u64) } {
            0 => Ok(()),
            _ => Err(AllocError),
        }
    }

    pub fn close(self) {
        unsafe { sys::diskalloc_region_close(self.0.as_ptr()) }
    }
}
