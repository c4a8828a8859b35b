//! on_file [FILE [MIB]]: a vector in a file of the program's own.  It pushes records of 64 bytes, 1 GiB of them or as
//! many MiB as the second argument says.
#![feature(allocator_api)]
use diskallocator::{last_error, DiskAlloc};
use std::{env, fs::OpenOptions, process::exit};

struct Record {
    _text: [char; 16],
}

fn main() {
    let path = env::args().nth(1).unwrap_or_else(|| "dummy.file".into());
    let mib: usize = env::args().nth(2).map_or(1024, |n| n.parse().expect("a number of MiB"));
    let file = OpenOptions::new().read(true).write(true).create(true).open(&path).unwrap();
    let mut v: Vec<Record, DiskAlloc> = Vec::new_in(DiskAlloc::on_file(file).unwrap());

    for _ in 0..mib * 16 * 1024 {
        // push would do as well; this one can say why
        if v.try_reserve(1).is_err() {
            eprintln!("{path}: {}", last_error().map_or("no memory".into(), |e| e.to_string()));
            exit(1);
        }
        v.push(Record { _text: ['A', 'B', 'C', 'D', 'E', 'F', 'G', 'H', '1', '2', '3', '4', '5', '6', '7', '8'] });
    }
    v.shrink_to_fit();
    println!("{} records: look at {path}", v.len());
}
