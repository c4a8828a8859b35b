//! Finds libdiskalloc-client: in $DISKALLOC_LIB_DIR, or by pkg-config.

use std::{env, process::Command};

fn link(words: &str) {
    for word in words.split_whitespace() {
        if let Some(dir) = word.strip_prefix("-L") {
            println!("cargo:rustc-link-search=native={dir}");
        } else if let Some(name) = word.strip_prefix("-l") {
            println!("cargo:rustc-link-lib={name}");
        }
    }
}

fn main() {
    println!("cargo:rerun-if-env-changed=DISKALLOC_LIB_DIR");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG");
    println!("cargo:rerun-if-env-changed=PKG_CONFIG_PATH");
    let dir = env::var("DISKALLOC_LIB_DIR").unwrap_or_default();
    if !dir.is_empty() {
        link(&format!("-L{dir} -ldiskalloc-client"));
        return;
    }
    let program = env::var("PKG_CONFIG").unwrap_or_else(|_| "pkg-config".into());
    let output = Command::new(&program).args(["--libs", "diskalloc-client"]).output();
    match output {
        Ok(o) if o.status.success() => link(&String::from_utf8_lossy(&o.stdout)),
        Ok(o) => panic!(
            "libdiskalloc-client was not found: install it (libdiskalloc-client-dev), or set DISKALLOC_LIB_DIR or \
             PKG_CONFIG_PATH; {program} says: {}",
            String::from_utf8_lossy(&o.stderr).trim()
        ),
        Err(e) => panic!(
            "libdiskalloc-client was not found: there is no {program} ({e}); install it or set DISKALLOC_LIB_DIR"
        ),
    }
}
