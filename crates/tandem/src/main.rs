//! The program: commands, configuration, wiring.

mod audit;
mod bench;
mod configuration;
mod demo;
mod import;
mod memory;
mod screen;
mod serve;
mod shop;
mod telephony;
mod world;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The network broker between companies that own networks and operators that own none.
#[derive(Parser)]
#[command(name = "tandem", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the broker.
    Serve {
        /// A TOML file; without it the defaults hold.
        #[arg(long)]
        config: Option<PathBuf>,
    },
    /// A small world with real traffic over loopback sockets, and what each party earns.
    Demo(demo::DemoArguments),
    /// Prove that books, journal and balances agree.
    Audit {
        /// The data directory of a stopped broker.
        #[arg(long, default_value = "tandem-data")]
        data: PathBuf,
    },
    /// Measure.
    Bench(bench::BenchArguments),
    /// Bring decks or subscribers in from a CSV file, through a running broker's API.
    Import(import::ImportArguments),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Serve { config } => serve::run(config.as_deref()),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Audit { data } => audit::run(&data),
        Command::Bench(arguments) => bench::run(&arguments).map(|()| true),
        Command::Import(arguments) => import::run(&arguments).map(|()| true),
    };
    match result {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("tandem: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Readable log lines on standard error.
fn log_to_stderr(level: tracing::Level) {
    let subscriber =
        tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).finish();
    // A second call finds the first one's subscriber in place.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?)
}
