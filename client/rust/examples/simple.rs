//! The shortest program: numbers in a vector on disk.
#![feature(allocator_api)]
use diskallocator::DiskAlloc;

fn main() {
    let alloc = DiskAlloc::new().unwrap();
    let mut v: Vec<u32, DiskAlloc> = Vec::new_in(alloc);

    for i in 0..100 {
        v.push(i);
    }
    println!("{} numbers, the last is {}", v.len(), v[v.len() - 1]);
}
