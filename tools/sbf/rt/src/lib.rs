//! Exists to have its dependency compiled for the target: Solana's versions of the
//! memory functions (which end in syscalls) and of the arithmetic programs use most.
#![no_std]

extern crate solana_compiler_builtins;
