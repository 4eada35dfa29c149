//! What an idle subscriber weighs.

use tandem_domain::identifier::VnoId;
use tandem_domain::money::Amount;

use super::{Bed, Figures, process};
use crate::world::World;

pub fn run(subscribers: u64) -> anyhow::Result<Figures> {
    let bed = Bed::new("memory", false)?;
    let mut world = World::new(&bed.platform);
    world.build_parties()?;
    let vno = VnoId::new(0);
    // Main balance and two allowances: three buckets, and a renewal that waits.
    let plan = world.publish_plan(vno, "plan", "9.99")?;
    let credit: Amount = "50.00".parse()?;
    world.subscribers(vno, 90_000_000..90_001_000, &[plan], credit, |_| {})?;
    let before = process::resident();
    world.subscribers(vno, 0..subscribers, &[plan], credit, |_| {})?;
    let each = process::resident().saturating_sub(before) / subscribers.max(1);
    println!(
        "{subscribers} subscribers: {each} octets of resident memory each, indices and timers included"
    );
    let mut figures = Figures::new();
    figures.insert("resident_bytes_per_subscriber".into(), each.into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}
