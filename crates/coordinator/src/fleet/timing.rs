use std::time::Duration;

/// How long fleet and router wait for what. Tests hurry them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timing {
    /// The interval of health checks.
    pub(crate) tick: Duration,
    /// A machine that is silent for this long is not waited for where another pipeline can go on.
    pub(crate) suspect_after: Duration,
    /// The same for a machine that had sessions when it was last heard.
    pub(crate) suspect_busy_after: Duration,
    /// A machine that is silent for this long is lost.
    pub(crate) lost_after: Duration,
    /// A model whose stages could not be loaded is tried again after this long.
    pub(crate) retry_after: Duration,
    /// What a stage's load may take besides its bytes.
    pub(crate) load_grace: Duration,
    /// Stages that are loaded link up within this time.
    pub(crate) link_within: Duration,
    /// What a pipeline's answer may take besides its tokens.
    pub(crate) step_grace: Duration,
    /// The first quarantine of a machine that missed a deadline.
    pub(crate) quarantine: Duration,
    /// A model that is served is planned at most once in this time.
    pub(crate) replan_window: Duration,
    /// Better plans for what is served are looked for this often.
    pub(crate) improve_every: Duration,
    /// A coordinator that starts again waits so long for the machines that served before.
    pub(crate) return_within: Duration,
    /// A request that loses one pipeline after the other without getting a token is not given up before this.
    pub(crate) starves_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick: Duration::from_millis(100),
            // Half a second late is rare for a beat, and moving sessions for nothing costs no more than a prefill.
            suspect_after: Duration::from_millis(1500),
            // Three missed beats of a quarter of a second.
            suspect_busy_after: Duration::from_millis(750),
            // Three missed beats of one second, and the beat's own lateness.
            lost_after: Duration::from_millis(3500),
            retry_after: Duration::from_secs(5),
            // Other loads before it, a slow disk, and a processor that is hardly lent.
            load_grace: Duration::from_secs(60),
            // Three dials of five seconds each.
            link_within: Duration::from_secs(15),
            // An owner who comes back may slow a machine down to a twentieth within a step.
            step_grace: Duration::from_secs(20),
            quarantine: Duration::from_secs(30),
            // A machine that comes and goes needs five seconds to be missed and to be back. With twice that, it cannot
            // make others load and drop weights at its own pace, and a replica that is lost is still replaced soon.
            replan_window: Duration::from_secs(10),
            // Moving costs as much as some hundred tokens: what a minute's tokens gain must outweigh it.
            improve_every: Duration::from_secs(60),
            // Workers try again within a second or two of a short absence; others can serve in their place after that.
            return_within: Duration::from_secs(3),
            // Many sequences that are replayed wait for each other. Half of what clients usually wait for an answer.
            starves_after: Duration::from_secs(300),
        }
    }
}
