//! The program `timeball-gate`: see the library's documentation, or `--help`.
#![cfg_attr(freestanding, no_std)]
#![no_main]

#[cfg(freestanding)]
mod memory;
mod start;
