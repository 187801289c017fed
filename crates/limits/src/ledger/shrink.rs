//! Chooses what to give up when the ledger is over its limit. Pure: the caller carries it out.
//!
//! In this order, each only if everything before it is not enough:
//! 1. **Parked stages.** They serve no request; the cost is the time to load them again.
//! 2. **Sessions**, those with the fewest cached tokens first. The coordinator continues them elsewhere at the cost of a
//!    prefill of these tokens, so the shortest sequence waits least.
//! 3. **Whole stages.** Every request of the pipeline waits for a new plan and for weights to load.
//!
//! The choice is minimal: no item of it could be kept.

use std::cmp::Reverse;

/// A stage in memory. `P` and `S` are the caller's ids of stages and sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holding<P, S> {
    /// The stage.
    pub stage: P,
    /// Bytes of weights and workspace, which go with the stage. Those of its sessions are not included.
    pub bytes: u64,
    /// Loaded but serving nothing, in case it is needed again.
    pub parked: bool,
    /// Its sessions.
    pub sessions: Vec<HeldSession<S>>,
}

/// A session in memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldSession<S> {
    /// The session.
    pub id: S,
    /// Bytes of its KV cache.
    pub kv_bytes: u64,
    /// Cached tokens, which have to be prefilled again.
    pub tokens: u64,
}

/// Something to give up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Release<P, S> {
    /// The session goes back to the coordinator; its stage stays.
    Session {
        /// The stage that it is on.
        stage: P,
        /// The session.
        session: S,
    },
    /// The stage goes, with its sessions.
    Stage {
        /// The stage.
        stage: P,
    },
}

impl<P, S> Holding<P, S> {
    fn total(&self) -> u128 {
        u128::from(self.bytes) + self.kv()
    }

    fn kv(&self) -> u128 {
        self.sessions.iter().map(|session| u128::from(session.kv_bytes)).sum()
    }

    fn tokens(&self) -> u128 {
        self.sessions.iter().map(|session| u128::from(session.tokens)).sum()
    }
}

struct Choice<P, S> {
    bytes: u128,
    release: Release<P, S>,
}

/// What to release to free at least `over` bytes, in order; everything that holds bytes, if that is not enough.
pub fn plan_shrink<P: Clone, S: Clone>(over: u64, holdings: &[Holding<P, S>]) -> Vec<Release<P, S>> {
    let over = u128::from(over);
    let (parked, serving): (Vec<_>, Vec<_>) = holdings.iter().partition(|holding| holding.parked);
    let parked = fewest(over, &parked, |holding| holding.total(), |holding| holding.total());
    let rest = over.saturating_sub(parked.iter().map(|holding| holding.total()).sum());

    // Sessions count wherever they are, so that stages have to make up for what all sessions are not enough for.
    let kv: u128 = serving.iter().map(|holding| holding.kv()).sum();
    let lost = |holding: &&Holding<P, S>| holding.tokens();
    let stages = fewest(rest.saturating_sub(kv), &serving, |holding| u128::from(holding.bytes), lost);
    let rest = rest.saturating_sub(stages.iter().map(|holding| holding.total()).sum());
    let staying = serving.iter().filter(|holding| !stages.iter().any(|stage| std::ptr::eq(*stage, **holding)));
    let sessions = shortest_sessions(rest, staying.copied());

    let whole = |holding: &Holding<P, S>| Choice {
        bytes: holding.total(),
        release: Release::Stage { stage: holding.stage.clone() },
    };
    let session = |(stage, session): (&P, &HeldSession<S>)| Choice {
        bytes: u128::from(session.kv_bytes),
        release: Release::Session { stage: stage.clone(), session: session.id.clone() },
    };
    let choices =
        parked.into_iter().map(whole).chain(sessions.into_iter().map(session)).chain(stages.iter().copied().map(whole));
    without_needless(over, choices.collect())
}

/// Sessions with their stages that add up to `need`, those with the fewest tokens first.
fn shortest_sessions<'a, P, S>(
    need: u128,
    stages: impl Iterator<Item = &'a Holding<P, S>>,
) -> Vec<(&'a P, &'a HeldSession<S>)> {
    let mut sessions: Vec<_> =
        stages.flat_map(|holding| holding.sessions.iter().map(|session| (&holding.stage, session))).collect();
    sessions.sort_by_key(|(_, session)| (session.tokens, Reverse(session.kv_bytes)));
    let (mut freed, mut chosen) = (0, Vec::new());
    for (stage, session) in sessions {
        if freed >= need {
            break;
        }
        freed += u128::from(session.kv_bytes);
        chosen.push((stage, session));
    }
    chosen
}

/// As few as possible that add up to `need`: the largest first; the last one is the cheapest that is enough.
fn fewest<'a, T, C: Ord>(
    need: u128,
    from: &[&'a T],
    bytes: impl Fn(&&'a T) -> u128,
    cost: impl Fn(&&'a T) -> C,
) -> Vec<&'a T> {
    let mut left: Vec<_> = from.iter().copied().filter(|item| bytes(item) > 0).collect();
    left.sort_by_key(|item| Reverse(bytes(item)));
    let (mut need, mut chosen) = (need, Vec::new());
    while need > 0 && !left.is_empty() {
        let enough = left.iter().take_while(|item| bytes(item) >= need).enumerate();
        let last = enough.min_by_key(|(_, item)| (cost(item), bytes(item))).map(|(at, _)| at);
        let item = left.remove(last.unwrap_or(0));
        need = need.saturating_sub(bytes(&item));
        chosen.push(item);
    }
    chosen
}

/// Drops choices that are not needed, the most expensive first.
fn without_needless<P, S>(need: u128, choices: Vec<Choice<P, S>>) -> Vec<Release<P, S>> {
    let mut freed: u128 = choices.iter().map(|choice| choice.bytes).sum();
    let mut needed: Vec<_> = choices
        .into_iter()
        .rev()
        .filter(|choice| {
            let needless = freed - choice.bytes >= need || choice.bytes == 0;
            if needless {
                freed -= choice.bytes;
            }
            !needless
        })
        .collect();
    needed.reverse();
    needed.into_iter().map(|choice| choice.release).collect()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rstest::rstest;

    type Held = Holding<usize, (usize, usize)>;

    /// Whether it is parked, its bytes, and its sessions' bytes and tokens.
    type Stage<'a> = (bool, u64, &'a [(u64, u64)]);

    fn holdings(all: &[Stage<'_>]) -> Vec<Held> {
        let session = |stage| {
            move |(at, (kv_bytes, tokens)): (usize, &(u64, u64))| HeldSession {
                id: (stage, at),
                kv_bytes: *kv_bytes,
                tokens: *tokens,
            }
        };
        let holding = |(stage, (parked, bytes, sessions)): (usize, &Stage<'_>)| Holding {
            stage,
            bytes: *bytes,
            parked: *parked,
            sessions: sessions.iter().enumerate().map(session(stage)).collect(),
        };
        all.iter().enumerate().map(holding).collect()
    }

    /// As text: `s1` is stage 1, `s1.0` its first session.
    fn plan(over: u64, holdings: &[Held]) -> String {
        let text = |release: &Release<usize, (usize, usize)>| match release {
            Release::Stage { stage } => format!("s{stage}"),
            Release::Session { stage, session } => {
                assert_eq!(*stage, session.0);
                format!("s{stage}.{}", session.1)
            }
        };
        plan_shrink(over, holdings).iter().map(text).collect::<Vec<_>>().join(" ")
    }

    const PARKED: bool = true;
    const SERVING: bool = false;

    #[rstest]
    #[case::nothing_is_over(0, "")]
    #[case::the_smallest_parked_one_that_is_enough(15, "s0")]
    #[case::or_the_larger_one(25, "s1")]
    #[case::or_both(35, "s1 s0")]
    #[case::then_the_session_with_the_fewest_tokens(51, "s1 s0 s2.1")]
    #[case::and_the_next(66, "s1 s0 s2.1 s3.0")]
    #[case::but_what_the_next_makes_needless_stays(75, "s1 s0 s2.1 s2.0")]
    #[case::and_all(76, "s1 s0 s2.1 s3.0 s2.0")]
    #[case::then_the_stage_that_costs_least_which_may_be_enough_alone(100, "s3")]
    #[case::or_not(155, "s1 s0 s3")]
    #[case::or_with_sessions_of_those_that_stay(165, "s1 s0 s2.1 s3")]
    #[case::or_with_all_of_them(180, "s1 s0 s2.1 s2.0 s3")]
    #[case::or_all_that_there_is(280, "s1 s0 s2 s3")]
    #[case::which_may_not_be_enough(u64::MAX, "s1 s0 s2 s3")]
    fn the_order(#[case] over: u64, #[case] expected: &str) {
        let holdings = holdings(&[
            (PARKED, 20, &[]),
            (PARKED, 30, &[]),
            (SERVING, 100, &[(10, 300), (15, 100)]),
            (SERVING, 100, &[(5, 200)]),
            (SERVING, 0, &[]),
        ]);
        assert_eq!(plan(over, &holdings), expected);
    }

    #[test]
    fn nothing_that_could_be_kept_goes() {
        // The second session alone is enough, although the first one has fewer tokens.
        assert_eq!(plan(50, &holdings(&[(SERVING, 9, &[(10, 1), (60, 2)])])), "s0.1");
        // Of the parked ones the larger makes up for what the session leaves.
        assert_eq!(plan(10, &holdings(&[(PARKED, 3, &[]), (PARKED, 4, &[]), (SERVING, 9, &[(8, 1)])])), "s1 s2.0");
        assert_eq!(plan(1, &holdings(&[(PARKED, 0, &[]), (SERVING, 0, &[(0, 7), (1, 9)])])), "s1.1");
    }

    #[test]
    fn huge_numbers_add_up() {
        let all = holdings(&[(PARKED, u64::MAX, &[(u64::MAX, 1)]), (SERVING, u64::MAX, &[(u64::MAX, u64::MAX)])]);
        assert_eq!(plan(u64::MAX, &all), "s0");
        let all = holdings(&[(SERVING, u64::MAX, &[(u64::MAX, u64::MAX)]), (SERVING, 1, &[(1, u64::MAX)])]);
        assert_eq!(plan(u64::MAX, &all), "s0.0");
        assert_eq!(plan(1, &[]), "");
    }

    proptest! {
        /// Whatever is held: enough goes if there is enough, nothing goes that could stay, and the order is kept.
        #[test]
        fn enough_and_not_more(
            over in 0u64..400,
            all in prop::collection::vec(
                (any::<bool>(), 0u64..100, prop::collection::vec((0u64..30, 0u64..10), 0..5)),
                0..6,
            ),
        ) {
            let all: Vec<_> = all.iter().map(|(parked, bytes, sessions)| (*parked, *bytes, sessions.as_slice())).collect();
            let holdings = holdings(&all);
            let releases = plan_shrink(over, &holdings);
            let session_of = |(stage, at): (usize, usize)| &holdings[stage].sessions[at];
            let bytes = |release: &Release<usize, (usize, usize)>| match release {
                Release::Stage { stage } => holdings[*stage].total(),
                Release::Session { session, .. } => session_of(*session).kv_bytes.into(),
            };
            let rank = |release: &Release<usize, (usize, usize)>| match release {
                Release::Stage { stage } if holdings[*stage].parked => 0,
                Release::Session { .. } => 1,
                Release::Stage { .. } => 2,
            };
            let freed: u128 = releases.iter().map(bytes).sum();
            let over = u128::from(over).min(holdings.iter().map(Holding::total).sum());
            prop_assert!(freed >= over);
            prop_assert!(releases.is_sorted_by_key(rank));
            for (at, release) in releases.iter().enumerate() {
                prop_assert!(freed - bytes(release) < over && bytes(release) > 0, "{:?} could stay", release);
                prop_assert!(!releases[..at].contains(release));
                if let Release::Session { stage, .. } = release {
                    let whole = Release::Stage { stage: *stage };
                    prop_assert!(!holdings[*stage].parked);
                    prop_assert!(!releases.contains(&whole));
                }
            }
            let parked: u128 = holdings.iter().filter(|h| h.parked).map(Holding::total).sum();
            let kv: u128 = holdings.iter().filter(|h| !h.parked).map(Holding::kv).sum();
            let most = releases.iter().map(rank).max();
            prop_assert_eq!(most == Some(1), over > parked && over <= parked + kv);
            if most == Some(2) {
                prop_assert!(over > parked + kv);
            }
            if most == Some(1) {
                let goes = |session| {
                    releases.iter().any(|r| matches!(r, Release::Session { session: s, .. } if *s == session))
                };
                let sessions = holdings.iter().filter(|h| !h.parked).flat_map(|h| &h.sessions);
                let (gone, kept): (Vec<_>, Vec<_>) = sessions.partition(|session| goes(session.id));
                for (gone, kept) in gone.iter().flat_map(|gone| kept.iter().map(move |kept| (gone, kept))) {
                    let better = kept.tokens < gone.tokens && kept.kv_bytes >= gone.kv_bytes;
                    prop_assert!(!better, "{kept:?} could go for {gone:?}");
                }
            }
        }
    }
}
