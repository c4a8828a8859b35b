#![doc = include_str!("../README.md")]
#![feature(allocator_api)]
#![warn(missing_docs)]

mod alloc;
mod blocks;
mod error;
mod region;
mod sys;

pub use alloc::DiskAlloc;
pub use error::{last_error, Error};
