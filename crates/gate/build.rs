//! Tells the profile `gate` from all others, and has its program linked without libc.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-check-cfg=cfg(freestanding)");
    // Cargo does not tell a build script the profile's name, but its optimisation level; `z` is
    // that of `gate` and of no other profile here. Other profiles build the same program on top of
    // the standard library, so that plain `cargo build`, `test` and `clippy` need to know nothing.
    if env::var("OPT_LEVEL").as_deref() != Ok("z") {
        return;
    }
    println!("cargo::rustc-cfg=freestanding");
    let arguments = [
        "-nostartfiles",
        "-nostdlib",
        "-static",
        // rustc asks for a position-independent program, which would need a loader.
        "-no-pie",
        // One segment for headers, code and constants: fewer pages to fault in.
        "-Wl,-z,noseparate-code",
        "-Wl,-z,norelro",
        "-Wl,--build-id=none",
        "-Wl,--no-eh-frame-hdr",
    ];
    for argument in arguments {
        println!("cargo::rustc-link-arg-bins={argument}");
    }
}
