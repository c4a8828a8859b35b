//! Why the library has refused something.

use crate::sys;
use std::{ffi::CStr, fmt, io, mem};

/// Why a call was refused: the library's sentence, and its numbers where a limit was reached.
///
/// An [`io::Error`] of this crate has one inside; after an [`AllocError`](std::alloc::AllocError), which says nothing,
/// [`last_error`] has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    code: i32,
    text: String,
    limit_name: String,
    limit: u64,
    used: u64,
    asked: u64,
}

impl Error {
    /// An errno, such as that of `EDQUOT` (a quota refuses) or `ENOSPC` (the disk does).
    pub fn code(&self) -> i32 {
        self.code
    }

    /// The limit that refused, such as `user:alice bytes`; empty if none was involved.
    pub fn limit_name(&self) -> &str {
        &self.limit_name
    }

    /// The limit in bytes (or regions, or connections).
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// How much of it is used.
    pub fn used(&self) -> u64 {
        self.used
    }

    /// How much was asked for in addition.
    pub fn asked(&self) -> u64 {
        self.asked
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Error {}

impl From<Error> for io::Error {
    fn from(e: Error) -> Self {
        io::Error::new(io::Error::from_raw_os_error(e.code).kind(), e)
    }
}

/// Why the last allocation that was refused to this thread was refused; `None` if the library's last call succeeded.
///
/// `Vec::try_reserve` says only that there is no memory.  This says which limit refused, and what is used of it.
pub fn last_error() -> Option<Error> {
    let mut info: sys::ErrorInfo = unsafe { mem::zeroed() };
    let said = unsafe { sys::diskalloc_last_error_info(&mut info, mem::size_of_val(&info)) };
    let text = unsafe { CStr::from_ptr(sys::diskalloc_last_error()) }.to_string_lossy();

    if said < 0 || info.code == 0 {
        return None;
    }
    Some(Error {
        code: -info.code,
        text: text.into_owned(),
        limit_name: unsafe { CStr::from_ptr(info.limit_name.as_ptr()) }.to_string_lossy().into_owned(),
        limit: info.limit,
        used: info.used,
        asked: info.asked,
    })
}

/// For what the library has just returned: a negative errno is an error.
pub(crate) fn check(returned: i32) -> io::Result<()> {
    if returned >= 0 {
        return Ok(());
    }
    Err(match last_error() {
        Some(e) if e.code == -returned => e.into(),
        _ => io::Error::from_raw_os_error(-returned),
    })
}
