#!/usr/bin/env python3
"""Teaches the sources of Rust's standard library the operating system "solana".

usage: patch_std.py LIBRARY        (the folder `library/` of Rust's sources)

Each patch below is a text that must be found and what takes its place. A text that
is not found means that the sources are of another version than the patches were
written for: then nothing is written and the program ends with an error.
"""

import sys
from pathlib import Path

# file -> [(text, replacement)]
PATCHES = {
    # The list of systems that std knows.
    "std/build.rs": [
        ('|| target_os == "vexos"', '|| target_os == "vexos"\n        || target_os == "solana"'),
    ],
    # No threads: thread-locals are plain statics. No errno. No source of randomness.
    "std/src/sys/thread_local/mod.rs": [
        ('target_os = "zkvm",', 'target_os = "zkvm", target_os = "solana",'),
    ],
    "std/src/sys/io/error/mod.rs": [
        ('target_os = "zkvm",', 'target_os = "zkvm", target_os = "solana",'),
    ],
    "std/src/sys/random/mod.rs": [
        ('target_os = "vexos",', 'target_os = "vexos", target_os = "solana",'),
    ],
    # The system allocator is the file added below.
    "std/src/sys/alloc/mod.rs": [
        ('    target_arch = "x86",\n', '    target_arch = "x86",\n    target_arch = "bpf",\n'),
        (
            '    target_os = "zkvm" => {\n        mod zkvm;\n    }\n',
            '    target_os = "zkvm" => {\n        mod zkvm;\n    }\n'
            '    target_os = "solana" => {\n        mod solana;\n    }\n',
        ),
    ],
    "std/src/panicking.rs": [
        # A panic that comes through core (indexing, overflow, unwrap): the program's
        # own handler writes it to the log.
        (
            "#[panic_handler]\npub fn panic_handler(",
            """#[cfg(target_os = "solana")]
#[panic_handler]
pub fn panic_handler(info: &core::panic::PanicInfo<'_>) -> ! {
    // Defined by `entrypoint!()` or `default_panic_handler!()` of the program.
    unsafe extern "Rust" {
        fn custom_panic(info: &core::panic::PanicInfo<'_>);
    }
    unsafe extern "C" {
        fn abort() -> !;
    }
    unsafe {
        custom_panic(info);
        abort()
    }
}
#[cfg(not(target_os = "solana"))]
#[panic_handler]
pub fn panic_handler(""",
        ),
        # A panic raised in std itself: no hooks and no counters, they would be mutable
        # statics, which the loader refuses. The place is logged by a syscall.
        (
            "    force_no_backtrace: bool,\n) -> ! {\n    let must_abort = panic_count::increase(true);\n",
            """    force_no_backtrace: bool,
) -> ! {
    #[cfg(target_os = "solana")]
    {
        unsafe extern "C" {
            fn sol_panic_(file: *const u8, len: u64, line: u64, column: u64) -> !;
        }
        let file = location.file();
        unsafe {
            sol_panic_(
                file.as_ptr(),
                file.len() as u64,
                location.line() as u64,
                location.column() as u64,
            )
        }
    }
    let must_abort = panic_count::increase(true);
""",
        ),
    ],
    # Hash maps take fixed keys: there is neither randomness nor a mutable static to
    # count in, and every validator must iterate in the same order.
    "std/src/hash/random.rs": [
        (
            "pub fn new() -> RandomState {\n",
            """pub fn new() -> RandomState {
        #[cfg(target_os = "solana")]
        return RandomState { k0: 0x736f_6c61_6e61_0001, k1: 0x736f_6c61_6e61_0002 };
        #[cfg(not(target_os = "solana"))]
        {
""",
        ),
        (
            """        KEYS.with(|keys| {
            let (k0, k1) = keys.get();
            keys.set((k0.wrapping_add(1), k1));
            RandomState { k0, k1 }
        })
""",
            """        KEYS.with(|keys| {
            let (k0, k1) = keys.get();
            keys.set((k0.wrapping_add(1), k1));
            RandomState { k0, k1 }
        })
        }
""",
        ),
    ],
    # The stable sort keeps its scratch space on the stack; at 4096 bytes it would fill
    # the whole frame of the virtual machine.
    "core/src/slice/sort/stable/mod.rs": [
        (
            "AlignedStorage::<T, 4096>::new()",
            'AlignedStorage::<T, { if cfg!(target_os = "solana") { 512 } else { 4096 } }>::new()',
        ),
    ],
}

NEW_FILES = {
    "std/src/sys/alloc/solana.rs": """\
//! Programs bring their own `#[global_allocator]`; the system has none.

use crate::alloc::{GlobalAlloc, Layout, System};

#[stable(feature = "alloc_system_type", since = "1.28.0")]
unsafe impl GlobalAlloc for System {
    #[inline]
    unsafe fn alloc(&self, _: Layout) -> *mut u8 {
        crate::ptr::null_mut()
    }

    #[inline]
    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}
""",
}


def patched(library):
    """The new contents of all files, by path."""
    contents = {library / name: text for name, text in NEW_FILES.items()}
    for name, replacements in PATCHES.items():
        path = library / name
        text = path.read_text()
        for old, new in replacements:
            if old not in text:
                sys.exit(f"patch_std: {path}: the following text is not there:\n{old}")
            text = text.replace(old, new)
        contents[path] = text
    return contents


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    for path, text in patched(Path(sys.argv[1])).items():
        path.write_text(text)


if __name__ == "__main__":
    main()
