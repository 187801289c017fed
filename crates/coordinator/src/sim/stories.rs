//! Single faults that random seeds hit rarely or never.

use super::{
    client::{Ask, End, Manner},
    faults::{Fault, Party},
    machine::Quirks,
    world::{Scenario, World},
};
use crate::status::{PipelineState, PipelineStatus};
use gogrid_model::SamplingParams;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// Machines, and a request in flight to the model of this number.
struct Story(World, usize);

impl Story {
    async fn start(machines: usize, stages: usize, pipelines: usize, tokens: usize) -> Self {
        Self::of(0, machines, stages, pipelines, tokens).await
    }

    /// A story of the model of this number.
    async fn of(model: usize, machines: usize, stages: usize, pipelines: usize, tokens: usize) -> Self {
        let quirks = Quirks {
            load: Duration::from_millis(300),
            step: Duration::from_millis(10),
            failing_loads: 0,
            keeps_outputs: true,
            forgets: false,
            ignores_steps: false,
            wrong: None,
        };
        let ask = Ask {
            number: 0,
            model,
            at: Duration::ZERO,
            prompt: (300..400).collect(),
            tokens,
            sampling: SamplingParams::greedy(),
            manner: Manner::Reads,
            turns: 0,
        };
        let scenario = Scenario {
            seed: 1,
            sessions: 8,
            models: vec![(stages, pipelines); model + 1],
            machines: vec![(8 << 30, quirks, true); machines],
            roomy: true,
            asks: vec![ask.clone()],
            faults: Vec::new(),
            planning: Duration::from_millis(5),
            end: Duration::ZERO,
        };
        let story = Self(World::start(&scenario), model);
        story.wait_pipelines(pipelines).await;
        story.0.ask(ask);
        tokio::time::sleep(Duration::from_secs(1)).await;
        story
    }

    async fn pipelines(&self) -> Vec<PipelineStatus> {
        self.0.fleet.status().await.expect("the fleet runs").models.swap_remove(self.1).pipelines
    }

    async fn wait_pipelines(&self, count: usize) {
        let ready = |pipelines: &[PipelineStatus]| {
            pipelines.len() == count && pipelines.iter().all(|pipeline| pipeline.state == PipelineState::Ready)
        };
        let wait = async {
            while !ready(&self.pipelines().await) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), wait).await.expect("the pipelines are ready");
    }

    /// The machines of the pipeline that serves, in the order of its stages.
    async fn serving(&self) -> Vec<usize> {
        let pipelines = self.pipelines().await;
        let serving = pipelines.iter().find(|pipeline| pipeline.sessions > 0).expect("one serves");
        let number = |id: &str| self.0.machines.iter().position(|machine| machine.id.to_string() == id);
        serving.stages.iter().filter_map(|stage| number(&stage.worker_id)).collect()
    }

    /// Injects a fault, and waits for all that follows from it.
    async fn suffers(&mut self, fault: Fault) {
        let start = tokio::time::Instant::now();
        let mut following = self.0.suffer(fault).await;
        following.sort_by_key(|(within, _)| *within);
        for (within, later) in following {
            tokio::time::sleep_until(start + within).await;
            self.0.follow(later);
        }
    }

    /// The request ends with every token, and nothing is left.
    async fn ends_well(self) {
        self.whole().await;
    }

    /// As [`Story::ends_well`]; what happened.
    async fn whole(mut self) -> Vec<String> {
        let (_, end) = self.0.end().await;
        assert!(matches!(end, End::Whole), "{end:?}");
        tokio::time::sleep(Duration::from_secs(15)).await;
        self.0.check_leftovers().await;
        let (trace, wrong) = self.0.log.take();
        assert!(wrong.is_empty(), "{wrong:#?}\n{}", trace.join("\n"));
        trace
    }
}

fn epochs(pipelines: &[PipelineStatus]) -> Vec<u64> {
    pipelines.iter().map(|pipeline| pipeline.epoch).collect()
}

#[tokio::test(start_paused = true)]
async fn a_conversation_goes_on_from_what_its_stages_have() {
    // Caches alone, and a hybrid.
    for model in [0, 1] {
        let mut story = Story::of(model, 2, 2, 1, 20).await;
        let (ask, end) = story.0.end().await;
        assert!(matches!(end, End::Whole), "{end:?}");
        // The same question is asked again and goes on for two turns: each turn begins with the one before.
        story.0.ask(Ask { number: 1, turns: 2, ..ask });
        let trace = story.whole().await;
        let cached: Vec<&str> =
            trace.iter().filter_map(|line| line.split_once("request 1 had ")).map(|(_, had)| had).collect();
        let turns = ["119 of 123 tokens cached", "142 of 146 tokens cached"];
        match model {
            0 => assert_eq!(cached, [&["99 of 100 tokens cached"], &turns[..]].concat()),
            // It cannot be cut back to the question alone.
            _ => assert_eq!(cached, [&["64 of 100 tokens cached"], &turns[..]].concat()),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_that_stood_still_loses_no_machine() {
    let alone = Fault::StandStill { who: Party::Coordinator, lasts: Duration::from_secs(5), breaks: false };
    for fault in [alone, Fault::Jump { lasts: Duration::from_secs(5) }, Fault::Jump { lasts: HOUR }] {
        let mut story = Story::start(4, 2, 2, 200).await;
        let before = epochs(&story.pipelines().await);
        story.suffers(fault).await;
        tokio::time::sleep(Duration::from_secs(5)).await;
        assert_eq!(epochs(&story.pipelines().await), before, "the pipelines are the same");
        story.ends_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_coordinator_whose_links_broke_while_it_stood_still_has_its_machines_back() {
    let mut story = Story::start(4, 2, 2, 200).await;
    story.suffers(Fault::StandStill { who: Party::Coordinator, lasts: Duration::from_secs(20), breaks: true }).await;
    story.wait_pipelines(2).await;
    story.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_slept_for_an_hour_serves_again() {
    for breaks in [false, true] {
        let mut story = Story::start(2, 1, 2, 2000 / 10).await;
        let laptop = story.serving().await[0];
        story.suffers(Fault::StandStill { who: Party::Machine(laptop), lasts: HOUR, breaks }).await;
        story.wait_pipelines(2).await;
        story.ends_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_laptop_that_sleeps_for_less_than_it_takes_to_be_lost_keeps_its_place() {
    let mut story = Story::start(2, 1, 2, 200).await;
    let before = epochs(&story.pipelines().await);
    let laptop = story.serving().await[0];
    let lasts = Duration::from_millis(2500);
    story.suffers(Fault::StandStill { who: Party::Machine(laptop), lasts, breaks: false }).await;
    story.wait_pipelines(2).await;
    assert_eq!(epochs(&story.pipelines().await), before);
    story.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn a_replacement_that_dies_during_the_hand_over_costs_no_token() {
    for dark in [false, true] {
        let mut story = Story::start(3, 1, 3, 200).await;
        let first = story.serving().await[0];
        story.0.inject(Fault::Drain { machine: first, back: Duration::ZERO });
        let second = loop {
            let takes_over = |(machine, state): (usize, &super::machine::Machine)| {
                (machine != first && state.stages().iter().any(|(_, sessions)| *sessions > 0)).then_some(machine)
            };
            match story.0.machines.iter().enumerate().find_map(takes_over) {
                Some(machine) => break machine,
                None => tokio::time::sleep(Duration::from_millis(1)).await,
            }
        };
        story.suffers(Fault::Kill { machine: second, dark, back: Duration::from_secs(3) }).await;
        story.0.follow(super::faults::Later::Start(first));
        story.wait_pipelines(3).await;
        story.ends_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_stage_that_only_the_coordinator_cannot_reach_costs_no_token() {
    for both in [false, true] {
        for outward in [false, true] {
            let mut story = Story::start(6, 3, 2, 300).await;
            // The middle one's only link to the coordinator is the control link.
            let middle = Party::Machine(story.serving().await[1]);
            let (from, to) = if outward { (Party::Coordinator, middle) } else { (middle, Party::Coordinator) };
            story.suffers(Fault::Cut { from, to, both, lasts: Duration::from_secs(20) }).await;
            story.wait_pipelines(2).await;
            story.ends_well().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_machine_whose_owner_came_back_while_it_was_not_connected_is_not_asked_to_compute() {
    let mut story = Story::start(1, 1, 1, 2).await;
    let (_, end) = story.0.end().await;
    assert!(matches!(end, End::Whole));
    story.0.inject(Fault::Break { a: Party::Coordinator, b: Party::Machine(0) });
    story.0.inject(Fault::Stop { machine: 0, at_once: true, lasts: HOUR });
    tokio::time::sleep(Duration::from_secs(10)).await;
    let pipelines = story.pipelines().await;
    assert!(pipelines.iter().all(|pipeline| pipeline.state == PipelineState::Stalled), "{pipelines:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_model_that_was_planned_while_a_machine_was_silent_is_planned_again_when_it_is_heard() {
    let mut story = Story::start(2, 2, 1, 200).await;
    let silent = Fault::StandStill { who: Party::Machine(0), lasts: Duration::ZERO, breaks: false };
    let heard = story.0.inject(silent);
    tokio::time::sleep(Duration::from_millis(2200)).await;
    // The pipeline ends, and there is no other place without the silent machine.
    story.0.inject(Fault::Break { a: Party::Coordinator, b: Party::Machine(1) });
    tokio::time::sleep(Duration::from_millis(400)).await;
    assert!(story.pipelines().await.is_empty());
    heard.into_iter().for_each(|(_, later)| story.0.follow(later));
    story.wait_pipelines(1).await;
    story.ends_well().await;
}

#[tokio::test(start_paused = true)]
async fn an_answer_goes_on_elsewhere_when_a_machine_beats_and_answers_no_step() {
    // With a replica, and without one: the others load what the silent pipeline had.
    for (machines, stages, pipelines) in [(4, 2, 2), (3, 1, 1), (6, 3, 1)] {
        let story = Story::start(machines, stages, pipelines, 400).await;
        let silent = *story.serving().await.last().expect("a stage");
        story.0.machines[silent].quirks.lock().expect("not poisoned").ignores_steps = true;
        tokio::time::sleep(Duration::from_secs(120)).await;
        story.0.machines[silent].quirks.lock().expect("not poisoned").ignores_steps = false;
        story.ends_well().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_hybrid_s_stage_goes_on_from_the_state_before_its_last_token() {
    let mut story = Story::of(1, 3, 2, 1, 200).await;
    let serving = story.serving().await;
    story.suffers(Fault::Kill { machine: serving[1], dark: true, back: Duration::from_secs(60) }).await;
    let trace = story.whole().await;
    let computed = |machine: usize| {
        let own = format!("machine-{machine} ");
        trace.iter().filter(|line| line.contains(&own) && line.ends_with(" rows at 0")).count()
    };
    assert_eq!(computed(serving[0]), 1, "the prompt's first rows, before the loss:\n{}", trace.join("\n"));
    let others = (0..3).filter(|machine| !serving.contains(machine));
    assert!(others.map(computed).sum::<usize>() > 0, "the new stage computes all of it:\n{}", trace.join("\n"));
}
