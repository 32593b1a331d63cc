//! What reading an archive costs beside its two parts that cannot be avoided: hashing its bytes, and gunzipping them.
//!
//! On an archive like an ordinary job's (14 kB) and on a large one (5 MB, with a log of 28 MB). Throughput is of compressed bytes, as they come
//! from the mount: `cargo bench --bench intake`. And what a line of a `jobdata` file costs, of few and of very many.

use std::fmt;
use std::hint::black_box;
use std::io;
use std::sync::LazyLock;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use flate2::read::MultiGzDecoder;
use nfs_scout::intake::{Limits, Redaction, read_archive, read_plain};
use nfs_scout::model::{AnalysisStatus, JobData};

#[path = "../examples/generate/archive.rs"]
mod archive;
#[path = "../examples/generate/dice.rs"]
mod dice;
#[path = "../examples/generate/job.rs"]
#[expect(dead_code, reason = "shared with the generator, which uses all of it")]
mod job;

/// How much is read at a time.
const PIECE_BYTES: usize = 64 * 1024;

fn main() {
    divan::main();
}

/// Which archive.
#[derive(Debug, Clone, Copy)]
enum Size {
    Ordinary,
    Large,
}

const SIZES: [Size; 2] = [Size::Ordinary, Size::Large];

static ORDINARY: LazyLock<Vec<u8>> = LazyLock::new(|| job_of(100_000).archive());
static LARGE: LazyLock<Vec<u8>> = LazyLock::new(|| job_of(42_000_000).archive());

impl Size {
    fn archive(self) -> &'static [u8] {
        match self {
            Self::Ordinary => &ORDINARY,
            Self::Large => &LARGE,
        }
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} kB", self.archive().len() / 1000)
    }
}

/// A job that succeeded; its log has a line for every hundred events.
fn job_of(events: u64) -> job::Job {
    let mut job = job::Job::draw(1, 1).of_kind(0, 0);
    (job.events, job.exitcode, job.has_results) = (events, 0, true);
    job
}

#[divan::bench(args = SIZES)]
fn hash_alone(bencher: Bencher, size: Size) {
    let bytes = size.archive();
    bencher.counter(BytesCount::of_slice(bytes)).bench(|| blake3::hash(black_box(bytes)));
}

/// What a file that is no archive costs.
#[divan::bench(args = SIZES)]
fn plain(bencher: Bencher, size: Size) {
    let (bytes, mut buffer) = (size.archive(), vec![0; PIECE_BYTES]);
    bencher
        .counter(BytesCount::of_slice(bytes))
        .bench_local(|| read_plain(black_box(bytes), &mut buffer).map(|read| read.blake3));
}

#[divan::bench(args = SIZES)]
fn gunzip_alone(bencher: Bencher, size: Size) {
    let bytes = size.archive();
    bencher
        .counter(BytesCount::of_slice(bytes))
        .bench(|| io::copy(&mut MultiGzDecoder::new(black_box(bytes)), &mut io::sink()).ok());
}

#[divan::bench(args = SIZES)]
fn archive(bencher: Bencher, size: Size) {
    let (bytes, limits, redaction) = (size.archive(), Limits::default(), Redaction::default());
    let mut buffer = vec![0; PIECE_BYTES];
    bencher.counter(BytesCount::of_slice(bytes)).bench_local(|| {
        let reading =
            read_archive(black_box(bytes), &mut buffer, &limits, &redaction).expect("memory can be read");
        assert_eq!(reading.analysis.status, AnalysisStatus::Ok);
        reading
    });
}

/// What the patterns cost that each configuration compiles once.
#[divan::bench]
fn compile_redaction() -> Redaction {
    Redaction::default()
}

/// The lines of a `jobdata` file, each with a key of its own: what one costs must not rise with their number.
#[divan::bench(args = [16, 4096, 500_000])]
fn jobdata(bencher: Bencher, lines: u32) {
    let text = (0..lines).map(|number| format!("key{number}=1")).collect::<Vec<_>>().join("\n");
    bencher.counter(ItemsCount::new(lines)).bench(|| JobData::of(black_box(&text)).odd_lines());
}

/// The same of what takes secrets out of them: of lines that name one, of odd ones, and of as many others.
#[divan::bench(args = [16, 4096, 500_000])]
fn redact(bencher: Bencher, lines: u32) {
    let line = |number| match number % 4 {
        0 => format!("k{number}=TOKEN:abcdefgh{number}"),
        1 => "odd".to_owned(),
        _ => format!("key{number}=1"),
    };
    let text = (0..lines).map(line).collect::<Vec<_>>().join("\n");
    let redaction = Redaction::default();
    bencher.counter(ItemsCount::new(lines)).bench(|| redaction.redact(black_box(&text)));
}
