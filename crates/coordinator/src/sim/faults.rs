//! Faults, and what follows from them.

use super::{
    machine::Wrong,
    network::IDLE,
    world::{COORDINATOR, World},
};
use gogrid_wire::{PeerId, control::StopReason};
use std::{sync::PoisonError, time::Duration};
use tokio::time::Instant;

/// A machine by its number, or the coordinator.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Party {
    Coordinator,
    Machine(usize),
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Fault {
    /// A crash, or a power cut that the others notice by silence; it starts again.
    Kill { machine: usize, dark: bool, back: Duration },
    /// It gets no turn for a while. Its links break when that is too long, or hold all the same.
    StandStill { who: Party, lasts: Duration, breaks: bool },
    /// Nothing passes from the one to the other, or back.
    Cut { from: Party, to: Party, both: bool, lasts: Duration },
    /// The links between them break, which both notice.
    Break { a: Party, b: Party },
    /// Its links are slow.
    Slow { machine: usize, delay: Duration, lasts: Duration },
    /// Its owner wants it back, at once or after the answers under way.
    Stop { machine: usize, at_once: bool, lasts: Duration },
    /// It leaves as it should, and comes back.
    Drain { machine: usize, back: Duration },
    /// It cannot load the next stages.
    FailLoads { machine: usize, count: u32 },
    /// Its answers are wrong.
    Answer { machine: usize, wrong: Wrong, lasts: Duration },
    /// All that has a clock sleeps, and goes on as if nothing had been.
    Jump { lasts: Duration },
    /// It is switched on for the first time.
    Join { machine: usize },
}

/// What follows from a fault, later.
#[derive(Debug, Clone, Copy)]
pub(super) enum Later {
    Start(usize),
    GoOn(Party),
    Mend(Party, Party),
    BreakIfStill(Party),
    BreakIfCut(Party, Party),
    BreakDark,
    Hasten(usize),
    Resume(usize),
    AnswerWell(usize),
}

impl World {
    pub(super) fn id(&self, party: Party) -> PeerId {
        match party {
            Party::Coordinator => COORDINATOR,
            Party::Machine(machine) => self.machines[machine].id,
        }
    }

    /// Injects a fault now; returns what follows from it, and when.
    pub(super) fn inject(&mut self, fault: Fault) -> Vec<(Duration, Later)> {
        self.log.note(format_args!("{fault:?}"));
        match fault {
            Fault::Kill { machine, dark, back } => {
                self.machine(machine).kill(dark);
                vec![(IDLE, Later::BreakDark), (back, Later::Start(machine))]
            }
            Fault::StandStill { who, lasts, breaks } => {
                self.stand_still(who, true);
                let broken = breaks.then_some((IDLE, Later::BreakIfStill(who)));
                broken.into_iter().chain([(lasts, Later::GoOn(who))]).collect()
            }
            Fault::Cut { from, to, both, lasts } => {
                self.touch(from);
                self.touch(to);
                self.net.cut(self.id(from), self.id(to), true);
                if both {
                    self.net.cut(self.id(to), self.id(from), true);
                }
                vec![(IDLE, Later::BreakIfCut(from, to)), (lasts, Later::Mend(from, to))]
            }
            Fault::Break { a, b } => {
                self.touch(a);
                self.touch(b);
                self.net.break_between(self.id(a), self.id(b));
                Vec::new()
            }
            Fault::Slow { machine, delay, lasts } => {
                self.net.slow(self.id(Party::Machine(machine)), delay);
                vec![(lasts, Later::Hasten(machine))]
            }
            Fault::Stop { machine, at_once, lasts } => {
                self.machine(machine).lend(Some(StopReason::Limited), !at_once);
                vec![(lasts, Later::Resume(machine))]
            }
            Fault::Drain { machine, back } => {
                self.machine(machine).drain();
                vec![(back, Later::Start(machine))]
            }
            Fault::FailLoads { machine, count } => {
                self.quirks(machine, |quirks| quirks.failing_loads = count);
                Vec::new()
            }
            Fault::Answer { machine, wrong, lasts } => {
                self.quirks(machine, |quirks| quirks.wrong = Some(wrong));
                vec![(lasts, Later::AnswerWell(machine))]
            }
            Fault::Jump { .. } => {
                self.trouble = Instant::now();
                Vec::new()
            }
            Fault::Join { machine } => {
                self.machine(machine).start();
                Vec::new()
            }
        }
    }

    pub(super) fn follow(&mut self, later: Later) {
        self.log.note(format_args!("{later:?}"));
        match later {
            Later::Start(machine) => {
                let machine = self.machine(machine);
                machine.notice_leaving();
                machine.start();
            }
            Later::GoOn(who) => self.stand_still(who, false),
            Later::Mend(from, to) => {
                self.touch(from);
                self.touch(to);
                self.net.cut(self.id(from), self.id(to), false);
                self.net.cut(self.id(to), self.id(from), false);
            }
            Later::BreakIfStill(who) => {
                if self.is_still(who) {
                    self.net.break_all(self.id(who));
                }
            }
            Later::BreakIfCut(from, to) => {
                if self.net.is_cut(self.id(from), self.id(to)) {
                    self.net.break_between(self.id(from), self.id(to));
                }
            }
            Later::BreakDark => self.net.break_dark(),
            Later::Hasten(machine) => self.net.slow(self.id(Party::Machine(machine)), Duration::ZERO),
            Later::Resume(machine) => self.machine(machine).lend(None, true),
            Later::AnswerWell(machine) => {
                if self.machines[machine].answers_wrongly() {
                    self.wrong_answers = Some(Instant::now());
                }
                self.quirks(machine, |quirks| quirks.wrong = None);
            }
        }
    }

    /// Ends every fault.
    pub(super) fn heal(&mut self) {
        self.log.note("the faults end");
        self.follow(Later::GoOn(Party::Coordinator));
        self.net.break_dark();
        for machine in 0..self.machines.len() {
            let party = Party::Machine(machine);
            self.follow(Later::GoOn(party));
            self.follow(Later::Mend(Party::Coordinator, party));
            for other in 0..machine {
                self.follow(Later::Mend(Party::Machine(other), party));
            }
            self.follow(Later::Hasten(machine));
            self.follow(Later::Resume(machine));
            self.follow(Later::AnswerWell(machine));
            self.quirks(machine, |quirks| quirks.failing_loads = 0);
            self.follow(Later::Start(machine));
        }
    }

    fn stand_still(&mut self, who: Party, still: bool) {
        match who {
            Party::Coordinator => {
                self.net.stand_still(COORDINATOR, still);
                if still {
                    self.coordinator.stand_still();
                } else {
                    self.coordinator.go_on();
                }
                self.trouble = Instant::now();
            }
            Party::Machine(machine) => self.machine(machine).stand_still(still),
        }
    }

    fn is_still(&self, who: Party) -> bool {
        match who {
            Party::Coordinator => self.coordinator.is_still(),
            Party::Machine(machine) => self.machines[machine].is_still(),
        }
    }

    fn touch(&mut self, party: Party) {
        if let Party::Machine(machine) = party {
            self.machine(machine);
        }
    }

    fn quirks(&mut self, machine: usize, change: impl FnOnce(&mut super::machine::Quirks)) {
        change(&mut self.machine(machine).quirks.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// A machine at which a fault begins or ends.
    fn machine(&mut self, machine: usize) -> &mut super::machine::Machine {
        let machine = &mut self.machines[machine];
        machine.trouble = Instant::now();
        machine
    }
}
