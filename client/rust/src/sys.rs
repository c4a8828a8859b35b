//! What is used of libdiskalloc-client: see <diskalloc/client.h> and <diskalloc/heap.h>.
//!
//! The library keeps its promises from version 0.1 on: functions are only added, and structs have their size beside
//! them.

use std::os::raw::{c_char, c_int, c_void};

#[repr(C)]
pub struct Client {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Region {
    _private: [u8; 0],
}

#[repr(C)]
pub struct Heap {
    _private: [u8; 0],
}

#[repr(C)]
pub struct ErrorInfo {
    pub code: c_int,
    pub limit_name: [c_char; 64],
    pub limit: u64,
    pub used: u64,
    pub asked: u64,
    pub handle: [c_char; 33],
}

extern "C" {
    pub fn diskalloc_open(address: *const c_char, options: *const c_void, ret: *mut *mut Client) -> c_int;
    pub fn diskalloc_close(client: *mut Client);
    pub fn diskalloc_last_error() -> *const c_char;
    pub fn diskalloc_last_error_info(ret: *mut ErrorInfo, size: usize) -> c_int;

    pub fn diskalloc_region_create(client: *mut Client, options: *const c_void, ret: *mut *mut Region) -> c_int;
    pub fn diskalloc_region_from_fd(fd: c_int, options: *const c_void, ret: *mut *mut Region) -> c_int;
    pub fn diskalloc_region_close(region: *mut Region);
    pub fn diskalloc_region_data(region: *const Region) -> *mut c_void;
    pub fn diskalloc_region_size(region: *const Region) -> u64;
    pub fn diskalloc_region_reserve(region: *const Region) -> u64;
    pub fn diskalloc_region_resize(region: *mut Region, size: u64) -> c_int;

    pub fn diskalloc_heap_new(client: *mut Client, ret: *mut *mut Heap) -> c_int;
    pub fn diskalloc_heap_close(heap: *mut Heap);
    pub fn diskalloc_heap_malloc(heap: *mut Heap, size: usize) -> *mut c_void;
    pub fn diskalloc_heap_calloc(heap: *mut Heap, n: usize, size: usize) -> *mut c_void;
    pub fn diskalloc_heap_memalign(heap: *mut Heap, alignment: usize, size: usize) -> *mut c_void;
    pub fn diskalloc_heap_realloc(heap: *mut Heap, block: *mut c_void, size: usize) -> *mut c_void;
    pub fn diskalloc_heap_free(heap: *mut Heap, block: *mut c_void);
    pub fn diskalloc_heap_usable_size(heap: *const Heap, block: *const c_void) -> usize;
}
