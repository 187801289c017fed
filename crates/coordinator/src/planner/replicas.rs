use super::{
    demand::Demand,
    machine::Machine,
    plan::{Plan, plan},
};

/// At most `most` further pipelines for the same model besides `first`, the fastest first. Each is on machines of its
/// own, with the demand's stages.
pub(crate) fn replicas(demand: &Demand<'_>, machines: &[Machine], first: &Plan, most: usize) -> Vec<Plan> {
    let mut unused: Vec<Machine> = machines.to_vec();
    remove_machines_of(first, &mut unused);
    let mut replicas = Vec::new();
    while replicas.len() < most {
        let Ok(next) = plan(demand, &unused) else { break };
        remove_machines_of(&next, &mut unused);
        replicas.push(next);
    }
    replicas
}

fn remove_machines_of(plan: &Plan, machines: &mut Vec<Machine>) {
    machines.retain(|machine| !plan.stages.iter().any(|stage| stage.machine == machine.id));
}
