//! What the disk takes by itself: no answer that has to be durable comes sooner.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::time::{Duration, Instant};

const BLOCK: usize = 4096;
const BLOCKS: u64 = 4096;
const MEASURED_FOR: Duration = Duration::from_secs(2);
/// Between two of them, as on a broker with half its load.
const PAUSE: Duration = Duration::from_micros(500);

/// How long one block written over an older one takes to be durable: the median, and what one of a hundred exceeds.
pub fn sync_alone() -> io::Result<(Duration, Duration)> {
    let path = std::env::temp_dir().join(format!("tandem-bench-disk-{}", std::process::id()));
    let file = File::options().create_new(true).write(true).open(&path)?;
    // The open file outlives its name.
    fs::remove_file(&path)?;
    let block = [1u8; BLOCK];
    for number in 0..BLOCKS {
        file.write_all_at(&block, number * BLOCK as u64)?;
    }
    file.sync_all()?;
    let mut taken = Vec::new();
    let started = Instant::now();
    for number in (0..BLOCKS).cycle() {
        if started.elapsed() >= MEASURED_FOR {
            break;
        }
        let began = Instant::now();
        file.write_all_at(&block, number * BLOCK as u64)?;
        file.sync_data()?;
        taken.push(began.elapsed());
        std::thread::sleep(PAUSE);
    }
    taken.sort_unstable();
    let quantile = |hundredths: usize| taken[taken.len() * hundredths / 100];
    Ok((quantile(50), quantile(99)))
}
