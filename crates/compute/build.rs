//! Compiles the CUDA kernels with `nvcc` where the feature `cuda` is on: one image with code for every kind of GPU that
//! the program may meet, of which the driver takes the best. Nothing of the toolkit is needed where the program runs.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// The files of kernels. Each becomes an image of its own.
const FILES: [&str; 5] = ["matvec", "attend", "flash", "prompt", "candidates"];
/// Portable code for Turing (7.5), Ampere (8.0, with what tensor cores need) and Hopper (9.0, whose kernels overlap).
const PORTABLE: [&str; 3] = ["75", "80", "90"];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=kernels");
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed=CUDA_COMPUTE_CAP");
    println!("cargo::rerun-if-env-changed=CUDA_HOME");
    if env::var_os("CARGO_FEATURE_CUDA").is_none() {
        return Ok(());
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("cargo sets OUT_DIR")?);
    let nvcc = env::var_os("CUDA_HOME").map_or_else(|| "nvcc".into(), |home| PathBuf::from(home).join("bin/nvcc"));
    // All at once: each takes a minute or so.
    let mut started = Vec::new();
    for file in FILES {
        let mut command = Command::new(&nvcc);
        command.args(["-fatbin", "-O3", "-std=c++17", "-o"]);
        command.arg(out.join(format!("{file}.fatbin"))).arg(format!("kernels/{file}.cu"));
        for version in PORTABLE {
            command.arg(format!("-gencode=arch=compute_{version},code=compute_{version}"));
        }
        // Machine code for the GPU that the rest of the program is built for spares its driver the compilation.
        if let Ok(version) = env::var("CUDA_COMPUTE_CAP") {
            command.arg(format!("-gencode=arch=compute_{version},code=sm_{version}"));
        }
        let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        started.push((file, child.map_err(|error| format!("{} cannot be started: {error}", nvcc.display()))?));
    }
    for (file, child) in started {
        let done = child.wait_with_output()?;
        if !done.status.success() {
            return Err(format!("kernels/{file}.cu: {}", String::from_utf8_lossy(&done.stderr)).into());
        }
    }
    Ok(())
}
