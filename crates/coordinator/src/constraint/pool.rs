//! Where constraints are worked on: never on an async thread, few at once, and each for a limited time.

use super::{
    ConstraintProblem,
    state::{ConstraintState, NextTokens},
};
use crate::generate::GenerateError;
use std::{
    sync::LazyLock,
    thread::{self, available_parallelism},
    time::Duration,
};
use tokio::{
    sync::Semaphore,
    task::spawn_blocking,
    time::{Instant, timeout_at},
};

/// GrammarCache that are compiled at once: each may take a core and tens of MiB.
const COMPILING: usize = 2;
/// The longest wait for a compiled grammar. Its size and the library's limits bound the work to less than that.
const COMPILED_WITHIN: Duration = Duration::from_secs(10);
/// The stack of a compiler, in bytes: it calls itself for each schema within a schema and for each rule of a chain, of
/// which there are some ten thousand at most. Only what is used of it takes memory.
const COMPILER_STACK: usize = 256 << 20;
/// The longest wait for what may come next. The library's limits end the work after some 20 ms of computing; this is for
/// machines that are busy otherwise.
const NEXT_WITHIN: Duration = Duration::from_secs(5);
/// What a client is told to wait where others' grammars are compiled.
const RETRY_AFTER: Duration = Duration::from_secs(1);

static COMPILERS: Semaphore = Semaphore::const_new(COMPILING);
static FOLLOWERS: LazyLock<Semaphore> =
    LazyLock::new(|| Semaphore::new(available_parallelism().map_or(1, std::num::NonZero::get)));

/// Runs a compiler.
///
/// # Errors
/// Outer: no place came free in time. Inner: what the compiler says, or that it takes too long.
pub(super) async fn compiling<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ConstraintProblem> + Send + 'static,
) -> Result<Result<T, ConstraintProblem>, GenerateError> {
    let deadline = Instant::now() + COMPILED_WITHIN;
    let Ok(Ok(place)) = timeout_at(deadline, COMPILERS.acquire()).await else {
        return Err(GenerateError::QueueFull { waiting: COMPILING, retry_after: RETRY_AFTER });
    };
    let compiler = spawn_blocking(move || {
        // Held until the work ends, even if the caller is gone.
        let _place = place;
        let own = thread::Builder::new().name("compile-grammar".into()).stack_size(COMPILER_STACK).spawn(work);
        own.map(thread::JoinHandle::join)
    });
    Ok(match timeout_at(deadline, compiler).await {
        Ok(Ok(Ok(Ok(result)))) => result,
        Ok(_) => Err(ConstraintProblem::Invalid { message: "it cannot be compiled".into() }),
        Err(_) => Err(ConstraintProblem::TooSlow),
    })
}

/// Hands a state the tokens that were chosen, and asks it what may come next. Not cancel-safe: the state is lost.
///
/// # Errors
/// The state's own, or that it takes too long.
pub(crate) async fn follow(
    mut state: Box<ConstraintState>,
    chosen: Vec<u32>,
) -> Result<(Box<ConstraintState>, NextTokens), ConstraintProblem> {
    let deadline = Instant::now() + NEXT_WITHIN;
    let Ok(Ok(_place)) = timeout_at(deadline, FOLLOWERS.acquire()).await else {
        return Err(ConstraintProblem::TooSlow);
    };
    let cancellation = state.cancellation();
    let work = spawn_blocking(move || {
        for token in chosen {
            state.accept(token)?;
        }
        let next = state.next()?;
        Ok((state, next))
    });
    match timeout_at(deadline, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(ConstraintProblem::Invalid { message: "it failed in the middle of the answer".into() }),
        Err(_) => {
            cancellation.cancel();
            Err(ConstraintProblem::TooSlow)
        }
    }
}
