//! Another program's frames: some milliseconds of GPU kernels, 60 times a second. It is a separate process with its own
//! GPU context, like any program of a desktop.

use crate::args::FramesArgs;
use anyhow::{Result, bail};
use candle_core::{DType, Device, Tensor};
use gogrid_model::DeviceSpec;
use serde::{Deserialize, Serialize};
use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

/// 60 Hz.
const PERIOD: Duration = Duration::from_micros(16_667);
/// The GPU's work for a frame.
const WORK: Duration = Duration::from_millis(4);
/// Rows and columns of the matrices. One multiplication takes well below a millisecond on any GPU that runs a model,
/// and fills it.
const WIDTH: usize = 2048;
/// Multiplications in the calibration of a frame.
const CALIBRATION: u32 = 200;
/// Frames that do not count, because the GPU's clock is low at first.
const WARM_UP: u32 = 60;

/// The result of a run.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Frames {
    /// Milliseconds from due to done.
    pub(super) ms: Vec<f64>,
    /// Multiplications of a frame.
    pub(super) kernels: u32,
}

/// Draws, and prints the result as JSON.
pub(in crate::bench) fn run(args: &FramesArgs) -> Result<ExitCode> {
    let DeviceSpec::Cuda(index) = args.device else { bail!("--device must be cuda:N") };
    gogrid_compute::check_built(args.device)?;
    let device = Device::new_cuda(index)?;
    let picture = Tensor::ones((WIDTH, WIDTH), DType::F32, &device)?;
    let kernels = match args.kernels {
        Some(kernels) => kernels,
        None => calibrate(&picture)?,
    };
    let mut ms = Vec::new();
    let mut due = Instant::now() + PERIOD;
    for frame in 0..WARM_UP + args.frames {
        // Nobody unparks it, but it may wake early by itself.
        while let Some(wait) = due.checked_duration_since(Instant::now()).filter(|wait| !wait.is_zero()) {
            thread::park_timeout(wait);
        }
        draw(&picture, kernels)?;
        if frame >= WARM_UP {
            ms.push(due.elapsed().as_secs_f64() * 1e3);
        }
        due += PERIOD;
        // A frame that is late is dropped, as on a desktop.
        due = due.max(Instant::now());
    }
    println!("{}", serde_json::to_string(&Frames { ms, kernels })?);
    Ok(ExitCode::SUCCESS)
}

fn calibrate(picture: &Tensor) -> Result<u32> {
    draw(picture, CALIBRATION)?;
    let start = Instant::now();
    draw(picture, CALIBRATION)?;
    let each = start.elapsed().as_secs_f64() / f64::from(CALIBRATION);
    Ok((WORK.as_secs_f64() / each).round().max(1.0) as u32)
}

fn draw(picture: &Tensor, kernels: u32) -> Result<()> {
    for _ in 0..kernels {
        picture.matmul(picture)?;
    }
    Ok(picture.device().synchronize()?)
}
