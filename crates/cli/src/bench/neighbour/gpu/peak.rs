//! The GPU memory of the worker's process, as counted by NVML.

use crate::bench::neighbour::report::Row;
use gogrid_limits::Gpu;
use serde_json::json;

/// The peak of the worker's GPU memory.
#[derive(Debug, Default)]
pub(super) struct Peak {
    /// The peak, and the limit at that time.
    bytes: Option<(u64, u64)>,
    unknown: Option<String>,
}

impl Peak {
    pub(super) fn record(&mut self, gpu: &Gpu, limit: u64) {
        match gpu.memory_own.clone().into_result() {
            Ok(bytes) => self.bytes = self.bytes.max(Some((bytes, limit))),
            Err(why) => self.unknown = Some(why),
        }
    }

    pub(super) fn row(self) -> Row {
        const NAME: &str = "GPU memory";
        const BAR: &str = "never over the limit";
        let Some((bytes, limit)) = self.bytes else {
            return Row::not_measured(NAME, self.unknown.unwrap_or_default(), BAR);
        };
        let mib = |bytes: u64| bytes >> 20;
        let measured = format!("{} MiB at most, as NVML counts; the limit is {} MiB", mib(bytes), mib(limit));
        Row::new(NAME, measured, BAR, bytes <= limit, json!({ "bytes": bytes, "limit": limit }))
    }
}
