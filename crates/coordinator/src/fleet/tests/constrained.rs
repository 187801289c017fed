//! Requests whose answers are constrained, and machines whose programs do not know that.

use super::grid::Grid;
use crate::{
    constraint::{ConstraintError, ConstraintProblem},
    generate::GenerateError,
    planner::Device,
};
use gogrid_model::DeviceSpec;
use gogrid_wire::hello::{Capabilities, feature};

#[tokio::test]
async fn older_programs_serve_no_constrained_answers() {
    let grid = Grid::with_pipelines(2, 2, 1).await;
    let refusal = grid.refusal("a+").await;
    assert!(matches!(&refusal, Some(GenerateError::CannotConstrain { model }) if model == "demo"), "{refusal:?}");
    let mut others = grid.ask(&[1, 2], 5).await;
    others.read(5).await;
}

#[test]
fn a_worker_says_whether_it_knows_constraints() {
    let of = |features: &[&str]| {
        let features = features.iter().map(ToString::to_string).collect();
        Device::of(DeviceSpec::Cpu, &Capabilities { features, ..Capabilities::default() }).expect("no footprint")
    };
    assert!(of(&[feature::BF16, feature::CONSTRAINTS]).constrains && !of(&[feature::BF16]).constrains);
}

#[tokio::test]
async fn a_bad_expression_is_refused_before_anything_is_computed() {
    let mut grid = Grid::start(0, 1, 1).await;
    grid.join_constraining(0).await;
    grid.wait_pipelines(1).await;
    let Some(GenerateError::Constraint(ConstraintError { field, problem })) = grid.refusal("(a").await else {
        panic!("it is refused")
    };
    assert_eq!(field, "guided_regex");
    assert!(matches!(problem, ConstraintProblem::Invalid { .. }), "{problem}");
    assert_eq!(grid.refusal("a").await.map(|error| error.to_string()), None);
}
