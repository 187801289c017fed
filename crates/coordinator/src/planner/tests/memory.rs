//! What stages take on different machines, and of models that differ.

use super::{
    super::{Device, Machine, plan},
    shapes::{cpu, demand, even, model},
};
use gogrid_model::{DeviceKind, DeviceSpec, Footprint, WeightType};
use gogrid_wire::hello::Capabilities;
use std::sync::Arc;

/// The machine with matrix instructions, as it says itself.
fn with_amx(machine: Machine) -> Machine {
    let footprint = Footprint::reference(DeviceKind::Cpu, Footprint::x86_copies(true));
    let said = Capabilities { footprint: serde_json::to_value(footprint).ok(), ..Capabilities::default() };
    Machine { device: Arc::new(Device::of(DeviceSpec::Cpu, &said).expect("in range")), ..machine }
}

#[test]
fn copies_that_a_machine_says_it_makes_count() {
    let manifest = model(&[WeightType::Q4K; 4]);
    let demand = demand(&manifest, 1);
    let weights = |machine: Machine| plan(&demand, &[machine]).expect("it fits").stages[0].memory.weights;
    let (usual, amx) = (weights(cpu(1, 90)), weights(with_amx(cpu(1, 90))));
    // 16 rows of 256 numbers: 5120 bytes more, for the 655,360 numbers of each layer.
    assert_eq!(amx - usual, 4 * 655_360 / (16 * 256) * 5120);
}

#[test]
fn machines_of_one_kind_that_hold_copies_differently_are_told_apart() {
    let manifest = model(&[WeightType::Q4K; 8]);
    let demand = demand(&manifest, 1);
    let least = (1..).find(|mib| plan(&demand, &[cpu(1, *mib)]).is_ok()).expect("some memory is enough");
    let both = [with_amx(cpu(1, least)), cpu(2, least)];
    assert!(plan(&demand, &both[..1]).is_err());
    assert_eq!(plan(&demand, &both).expect("one of them").stages[0].machine, both[1].id);
}

#[test]
fn windowed_layers_need_their_window_for_each_whole_context() {
    let full = even(4);
    let mut windowed = full.clone();
    for layer in &mut windowed.config.layers[1..] {
        layer.attention_mut().expect("it has attention").window = Some(8);
    }
    let kv = |manifest: &gogrid_model::Manifest, mib| {
        let place = plan(&demand(manifest, 1), &[cpu(1, mib)]).expect("it fits").stages[0].clone();
        (place.kv_budget, place.kv_tokens)
    };
    // Keys and values of 256 numbers each in f32; 4 sequences of 256 tokens, of which a window keeps 8 + 64.
    let token = 2 * 256 * 4;
    assert_eq!(kv(&full, 90), (4 * 4 * 256 * token, 4 * 256));
    let all = 4 * (256 + 3 * 72) * token;
    assert_eq!(kv(&windowed, 90), (all, all / (4 * token)));
}
