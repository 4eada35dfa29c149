//! From a stopped broker with many subscribers to its first answer.

use std::time::Instant;

use tandem_domain::charging::SessionVerb;
use tandem_domain::command::{Command, Response};
use tandem_domain::identifier::VnoId;
use tandem_domain::money::Amount;
use tandem_platform::Options;

use super::{Bed, Figures, charging};
use crate::world::World;

pub fn run(subscribers: u64) -> anyhow::Result<Figures> {
    let mut bed = Bed::new("restart", true)?;
    {
        let mut world = World::new(&bed.platform);
        world.build_parties()?;
        let vno = VnoId::new(0);
        let plan = world.publish_plan(vno, "plan", "9.99")?;
        let started = Instant::now();
        world.subscribers(vno, 0..subscribers, &[plan], "50.00".parse::<Amount>()?, |_| {})?;
        println!("{subscribers} subscribers made in {:.1} s", started.elapsed().as_secs_f64());
        bed.platform.stop();
        println!("books complete after {:.1} s", started.elapsed().as_secs_f64());
    }
    let started = Instant::now();
    bed.platform = tandem_platform::start(Options::new(&bed.directory))?;
    let request = charging::report(subscribers / 2, SessionVerb::Open, 0, None);
    let answer = bed.platform.submit_blocking(Command::Session(Box::new(request)))?;
    let elapsed = started.elapsed().as_secs_f64();
    anyhow::ensure!(matches!(answer, Response::Session(Ok(_))), "the first answer is {answer:?}");
    println!("  {elapsed:.2} s from start to the first answer");
    let mut figures = Figures::new();
    figures.insert("first_answer_seconds".into(), elapsed.into());
    figures.insert("subscribers".into(), subscribers.into());
    Ok(figures)
}
