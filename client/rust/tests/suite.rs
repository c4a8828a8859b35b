//! Everything that an allocator promises, at `$DISKALLOC_ADDRESS`.
#![feature(allocator_api)]
use diskallocator::{last_error, DiskAlloc, Error};
use std::{
    alloc::{Allocator, Layout},
    collections::VecDeque,
    fs::{self, File, OpenOptions},
    io,
    path::PathBuf,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).unwrap()
}

/// A file of this test's, removed at its end.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Self {
        static N: AtomicUsize = AtomicUsize::new(0);
        let dir = std::env::var("DISKALLOC_TEST_DIR").unwrap_or_else(|_| "/var/tmp".into());
        let name = format!("diskalloc-rust-{}-{}", std::process::id(), N.fetch_add(1, Ordering::Relaxed));

        Self(PathBuf::from(dir).join(name))
    }

    fn open(&self) -> File {
        OpenOptions::new().read(true).write(true).create(true).open(&self.0).unwrap()
    }

    fn len(&self) -> usize {
        fs::metadata(&self.0).unwrap().len() as usize
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _gone = fs::remove_file(&self.0);
    }
}

unsafe fn bytes<'a>(block: NonNull<[u8]>) -> &'a mut [u8] {
    slice::from_raw_parts_mut(block.cast().as_ptr(), block.as_ref().len())
}

fn random(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    (*state >> 11) as usize
}

#[test]
fn a_vector_is_what_it_is_elsewhere() {
    let mut on_disk: Vec<u32, DiskAlloc> = Vec::new_in(DiskAlloc::new().unwrap());
    let mut usual = Vec::new();
    let mut state = 1;

    for _ in 0..60_000 {
        match random(&mut state) % 64 {
            0 => {
                on_disk.shrink_to_fit();
                usual.shrink_to_fit();
            }
            1 => {
                let n = random(&mut state) % 1_000_000;
                on_disk.reserve(n);
                usual.reserve(n);
            }
            2 if random(&mut state) % 16 == 0 => {
                let n = random(&mut state) % (usual.len() + 1);
                on_disk.truncate(n);
                usual.truncate(n);
            }
            3 => {
                let n = usual.len() + random(&mut state) % 3000;
                on_disk.resize(n, 7);
                usual.resize(n, 7);
            }
            4 => assert_eq!(on_disk.pop(), usual.pop()),
            _ => {
                let x = random(&mut state) as u32;
                on_disk.push(x);
                usual.push(x);
            }
        }
    }
    assert_eq!(on_disk, usual);
}

#[test]
fn several_vectors_of_one_allocator_grow_side_by_side() {
    let alloc = DiskAlloc::new().unwrap();
    let mut vectors: Vec<Vec<u64, DiskAlloc>> = (0..8).map(|_| Vec::new_in(alloc.clone())).collect();

    for i in 0..300_000_u64 {
        for (k, v) in vectors.iter_mut().enumerate() {
            v.push(i * 8 + k as u64);
        }
    }
    vectors.swap_remove(3);
    for v in &mut vectors {
        v.truncate(100_000);
        v.shrink_to_fit();
    }
    for v in &vectors {
        let k = v[0];
        assert!(v.iter().zip(0..).all(|(x, i)| *x == i * 8 + k) && v.len() == 100_000);
    }
}

#[test]
fn a_large_vector_never_moves() {
    let mut v: Vec<u64, DiskAlloc> = Vec::with_capacity_in(MIB / 8, DiskAlloc::new().unwrap());
    let at = v.as_ptr();

    for n in [1, 2, 4, 8, 16, 32, 64] {
        v.resize(n * MIB / 8, n as u64);
        assert_eq!(v.as_ptr(), at);
    }
    v.truncate(10);
    v.shrink_to_fit();
    assert_eq!(v.as_ptr(), at);
    v.resize(8 * MIB / 8, 5);
    assert_eq!(v.as_ptr(), at);
    assert_eq!((v[0], v[9], v[10], v[MIB - 1]), (1, 1, 5, 5));
}

#[test]
fn zeroed_memory_is_zero_also_where_something_was() {
    for (small, large) in [(64, 4 * KIB), (64, 3 * MIB), (2 * MIB, 5 * MIB)] {
        for align in [1, 64, 4096] {
            let alloc = DiskAlloc::new().unwrap();

            unsafe {
                for _ in 0..3 {
                    let b = alloc.allocate_zeroed(layout(large, align)).unwrap();
                    assert!(bytes(b).iter().all(|x| *x == 0));
                    bytes(b).fill(7);
                    let b = alloc.shrink(b.cast(), layout(large, align), layout(small, align)).unwrap();
                    assert!(bytes(b).iter().all(|x| *x == 7));
                    let b = alloc.grow_zeroed(b.cast(), layout(small, align), layout(large, align)).unwrap();
                    assert!(bytes(b)[..small].iter().all(|x| *x == 7));
                    assert!(bytes(b)[small..].iter().all(|x| *x == 0));
                    bytes(b).fill(9);
                    alloc.deallocate(b.cast(), layout(large, align));
                }
            }
        }
    }
}

#[test]
fn every_alignment_is_kept_through_growing_and_shrinking() {
    let alloc = DiskAlloc::new().unwrap();

    for shift in 0..23 {
        let align = 1 << shift;
        let sizes = [1, 100, 5000, 40 * KIB, MIB, 3 * MIB, 100 * KIB, 10];
        let mut old = layout(sizes[0], align);
        let mut b = alloc.allocate(old).unwrap();

        for size in sizes {
            let new = layout(size, align);
            unsafe {
                let kept = old.size().min(size);
                bytes(b).fill(shift as u8);
                b = if size >= old.size() {
                    alloc.grow(b.cast(), old, new).unwrap()
                } else {
                    alloc.shrink(b.cast(), old, new).unwrap()
                };
                assert_eq!(b.cast::<u8>().as_ptr() as usize % align, 0);
                assert!(bytes(b).len() >= size && bytes(b)[..kept].iter().all(|x| *x == shift as u8));
            }
            old = new;
        }
        unsafe { alloc.deallocate(b.cast(), old) };
    }
}

#[test]
fn the_alignment_may_change_with_the_size() {
    let alloc = DiskAlloc::new().unwrap();
    let mut old = layout(100, 1);
    let mut b = alloc.allocate(old).unwrap();

    unsafe { bytes(b).fill(3) };
    for (size, align) in [(200, 4096), (300, 8), (2 * MIB, 64 * KIB), (2 * MIB, 1), (3 * MIB, 4 * MIB)] {
        let new = layout(size, align);
        b = unsafe { alloc.grow(b.cast(), old, new).unwrap() };
        assert_eq!(b.cast::<u8>().as_ptr() as usize % align, 0);
        assert!(unsafe { bytes(b)[..100].iter().all(|x| *x == 3) });
        old = new;
    }
    for (size, align) in [(100, 8 * MIB), (100, 1)] {
        let new = layout(size, align);
        b = unsafe { alloc.shrink(b.cast(), old, new).unwrap() };
        assert_eq!(b.cast::<u8>().as_ptr() as usize % align, 0);
        assert!(unsafe { bytes(b).iter().all(|x| *x == 3) });
        old = new;
    }
    unsafe { alloc.deallocate(b.cast(), old) };
}

#[test]
fn no_bytes_are_no_block() {
    let alloc = DiskAlloc::new().unwrap();

    for align in [1, 16, 4096] {
        let none = layout(0, align);
        let b = alloc.allocate(none).unwrap();
        assert_eq!(b.cast::<u8>().as_ptr() as usize % align, 0);
        unsafe {
            let b = alloc.grow_zeroed(b.cast(), none, layout(MIB, align)).unwrap();
            assert!(bytes(b).iter().all(|x| *x == 0));
            let b = alloc.shrink(b.cast(), layout(MIB, align), none).unwrap();
            alloc.deallocate(b.cast(), none);
        }
    }
    let empty: Vec<(), DiskAlloc> = Vec::new_in(alloc);
    assert_eq!(empty.len(), 0);
}

#[test]
fn other_containers_and_other_threads() {
    let alloc = DiskAlloc::new().unwrap();
    let boxed = Box::new_in([5_u8; 3 * KIB], alloc.clone());
    let threads: Vec<_> = (0..4_u64)
        .map(|k| {
            let alloc = alloc.clone();
            thread::spawn(move || {
                let mut v = Vec::new_in(alloc.clone());
                let mut q = VecDeque::new_in(alloc);
                for i in 0..200_000 {
                    v.push(i ^ k);
                    q.push_back(i);
                    if i % 3 == 0 {
                        q.pop_front();
                    }
                }
                assert!(v.iter().zip(0..).all(|(x, i)| *x == i ^ k));
                assert_eq!(q.back(), Some(&199_999));
                v
            })
        })
        .collect();

    for (k, t) in threads.into_iter().enumerate() {
        assert_eq!(t.join().unwrap()[100], 100 ^ k as u64); // dropped by this thread
    }
    assert!(boxed.iter().all(|x| *x == 5));
    assert!(format!("{alloc:?}").contains("DiskAlloc"));
}

#[test]
fn the_first_vector_of_a_file_is_its_content() {
    let scratch = Scratch::new();
    let alloc = DiskAlloc::on_file(scratch.open()).unwrap();
    let mut v: Vec<u64, DiskAlloc> = Vec::new_in(alloc.clone());
    let mut other: Vec<u64, DiskAlloc> = Vec::new_in(alloc.clone());

    for i in 0..400_000 {
        v.push(i);
        other.push(!i);
    }
    v.shrink_to_fit();
    assert_eq!(scratch.len(), 8 * v.len());
    assert!(other.iter().zip(0..).all(|(x, i): (&u64, u64)| *x == !i));
    drop(v);
    let read = fs::read(&scratch.0).unwrap();
    assert!(read.chunks(8).zip(0..).all(|(x, i): (&[u8], u64)| x == i.to_ne_bytes()));
    // the file is free for the next one, and zeroed memory is zero in it too
    let zeros = alloc.allocate_zeroed(layout(MIB, 8)).unwrap();
    unsafe {
        assert!(bytes(zeros).iter().all(|x| *x == 0));
        bytes(zeros)[0] = 9;
        assert_eq!(fs::read(&scratch.0).unwrap()[..2], [9, 0]);
        assert_eq!(scratch.len(), read.len());
        alloc.deallocate(zeros.cast(), layout(MIB, 8));
    }
    drop(other);
}

#[test]
fn what_was_in_a_file_stays_until_it_is_written_over() {
    let scratch = Scratch::new();

    fs::write(&scratch.0, [1; 10_000]).unwrap();
    let mut v: Vec<u8, DiskAlloc> = Vec::with_capacity_in(100, DiskAlloc::on_file(scratch.open()).unwrap());
    v.extend([2; 100]);
    drop(v);
    let read = fs::read(&scratch.0).unwrap();
    assert!(read.len() == 10_000 && read[..100] == [2; 100] && read[100..].iter().all(|x| *x == 1));
}

#[test]
fn zeroed_memory_is_zero_where_others_have_been() {
    let scratch = Scratch::new();
    let alloc = DiskAlloc::new().unwrap();

    fs::write(&scratch.0, [1; 10_000]).unwrap();
    let on_file = DiskAlloc::on_file(scratch.open()).unwrap();
    unsafe {
        // in the part of a file that the block did not have
        let b = on_file.allocate(layout(100, 1)).unwrap();
        let b = on_file.grow_zeroed(b.cast(), layout(100, 1), layout(5000, 1)).unwrap();
        assert!(bytes(b)[..100].iter().all(|x| *x == 1) && bytes(b)[100..].iter().all(|x| *x == 0));
        assert!(fs::read(&scratch.0).unwrap()[5000..].iter().all(|x| *x == 1));
        on_file.deallocate(b.cast(), layout(5000, 1));
        // in blocks that were freed, when a block is copied for its alignment
        let used: Vec<_> = (0..100).map(|_| alloc.allocate(layout(4096, 4096)).unwrap()).collect();
        for b in used {
            bytes(b).fill(7);
            alloc.deallocate(b.cast(), layout(4096, 4096));
        }
        let b = alloc.allocate(layout(40, 8)).unwrap();
        bytes(b).fill(5);
        let b = alloc.grow_zeroed(b.cast(), layout(40, 8), layout(4096, 4096)).unwrap();
        assert!(bytes(b)[..40].iter().all(|x| *x == 5) && bytes(b)[40..].iter().all(|x| *x == 0));
        alloc.deallocate(b.cast(), layout(4096, 4096));
    }
}

fn inside(e: &io::Error) -> &Error {
    e.get_ref().unwrap().downcast_ref().unwrap()
}

#[test]
fn files_that_will_not_do_are_refused_with_a_reason() {
    let scratch = Scratch::new();
    let dir = File::open(scratch.0.parent().unwrap()).unwrap();

    scratch.open();
    let e = DiskAlloc::on_file(File::open(&scratch.0).unwrap()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
    assert!(inside(&e).to_string().contains("reading only"), "{e}");
    let e = DiskAlloc::on_file(OpenOptions::new().write(true).open(&scratch.0).unwrap()).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::PermissionDenied);
    let e = DiskAlloc::on_file(dir).unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::InvalidInput);
    assert!(e.to_string().contains("regular file"), "{e}");
}

#[test]
fn addresses_that_will_not_do_are_refused_with_a_reason() {
    for wrong in ["nowhere", "unix:relative", "dir:\0"] {
        assert_eq!(DiskAlloc::at(wrong).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{wrong}");
    }
    let e = DiskAlloc::at("unix:/nonexistent/socket").unwrap_err();
    assert_eq!(e.kind(), io::ErrorKind::ConnectionRefused);
    assert!(inside(&e).to_string().contains("/nonexistent/socket"), "{e}");
}

#[test]
fn a_refusal_changes_nothing_and_says_why() {
    let mut v: Vec<u8, DiskAlloc> = Vec::new_in(DiskAlloc::new().unwrap());

    v.resize(4 * MIB, 1);
    let (at, capacity) = (v.as_ptr(), v.capacity());
    assert!(v.try_reserve(1 << 50).is_err());
    let why = last_error().unwrap();
    assert!(why.to_string().len() > 20 && why.code() > 0, "{why}");
    assert_eq!((v.as_ptr(), v.capacity(), v.len()), (at, capacity, 4 * MIB));
    assert!(v.iter().all(|x| *x == 1));
    v.push(2);
    assert!(last_error().is_none());
}

/// Only with a quota of so many bytes (`$DISKALLOC_TEST_QUOTA`).
#[test]
fn a_quota_is_an_error_with_its_numbers() {
    let quota: u64 = match std::env::var("DISKALLOC_TEST_QUOTA") {
        Ok(q) => q.parse().unwrap(),
        Err(_) => return,
    };
    let mut v: Vec<u8, DiskAlloc> = Vec::new_in(DiskAlloc::new().unwrap());

    v.resize(2 * MIB, 1);
    assert!(v.try_reserve_exact(quota as usize).is_err());
    let why = last_error().unwrap();
    assert!(why.limit_name().ends_with("bytes"), "{why:?}");
    assert_eq!(why.limit(), quota);
    assert!(why.used() >= 2 * MIB as u64 && why.used() + why.asked() > quota, "{why:?}");
    assert_eq!(v.len(), 2 * MIB);
}
