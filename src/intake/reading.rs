//! Reads one file from its first byte to its last and says what it is.

use std::io::{self, Read};

use super::archive::{Contents, walk};
use super::fault::Fault;
use super::redaction::Redaction;
use super::source::Source;
use super::unpack::Unpacked;
use crate::model::{Analysis, AnalysisStatus, ContentHash, JobData, JobFigures};

/// What an archive may unpack to, by default: some 10,000 times an ordinary job.
const UNPACKED_BYTES: u64 = 1 << 30;

/// How many members an archive may have, by default; jobs have some twenty.
const MEMBERS: u64 = 100_000;

/// How long `jobdata` may be, by default; it is some 400 bytes.
const JOBDATA_BYTES: u64 = 1 << 20;

/// What is read of an archive at most. Above any of these it is `too-large`, and the rest of the file is only hashed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes that it may unpack to, headers and padding included.
    pub unpacked_bytes: u64,
    /// Members that it may have, extension headers included.
    pub members: u64,
    /// Bytes of its `jobdata` member; the only content that is held in memory.
    pub jobdata_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { unpacked_bytes: UNPACKED_BYTES, members: MEMBERS, jobdata_bytes: JOBDATA_BYTES }
    }
}

/// What one reading of a file gave. Holds no secret.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// The hash of every byte that was read, as they lie on the mount.
    pub blake3: ContentHash,
    /// How many bytes were read.
    pub size: u64,
    /// The verdict on its structure.
    pub analysis: Analysis,
    /// The redacted text of its `jobdata`; only of a whole archive.
    pub jobdata_text: Option<String>,
    /// What the fields of [`Reading::jobdata_text`] say to the statistics.
    pub figures: Option<JobFigures>,
    /// The experiments whose analyses it holds, sorted, distinct; only of a whole archive, with `jobdata` or without.
    pub experiments: Vec<String>,
}

/// Reads a file as a job archive: hash, gzip, tar and `jobdata` in one pass.
///
/// As much is read at a time as `buffer` takes, which must not be empty; what is in it means nothing. The hash is of the whole file
/// whatever its structure: after a fault the rest is read all the same. An error is the source's own, unchanged; then nothing is
/// known of the file.
pub fn read_archive(
    source: impl Read,
    buffer: &mut [u8],
    limits: &Limits,
    redaction: &Redaction,
) -> io::Result<Reading> {
    let mut source = Source::new(source);
    let walked = walk(&mut Unpacked::new(&mut source, buffer, limits.unpacked_bytes), limits);
    let walked = walked.map_err(|fault| match fault {
        _ if source.is_empty() => Fault::Empty,
        _ if !source.starts_as_gzip() => Fault::NoGzip,
        fault => fault,
    });
    let (blake3, size) = source.finish(buffer)?;
    Ok(match walked {
        Ok(contents) => whole(blake3, size, contents, redaction),
        Err(fault) => bare(blake3, size, fault.analysis()),
    })
}

/// Reads a file of any other kind, as [`read_archive`] does: only its hash.
pub fn read_plain(source: impl Read, buffer: &mut [u8]) -> io::Result<Reading> {
    let (blake3, size) = Source::new(source).finish(buffer)?;
    Ok(bare(blake3, size, Analysis { status: AnalysisStatus::Unread, detail: None }))
}

fn whole(blake3: ContentHash, size: u64, contents: Contents, redaction: &Redaction) -> Reading {
    let jobdata_text = contents.jobdata.map(|bytes| redaction.redact(&String::from_utf8_lossy(&bytes)));
    let status = if jobdata_text.is_some() { AnalysisStatus::Ok } else { AnalysisStatus::NoJobdata };
    Reading {
        figures: jobdata_text.as_deref().map(|text| JobFigures::of(&JobData::of(text))),
        jobdata_text,
        experiments: contents.experiments.into_iter().collect(),
        ..bare(blake3, size, Analysis { status, detail: None })
    }
}

fn bare(blake3: ContentHash, size: u64, analysis: Analysis) -> Reading {
    Reading { blake3, size, analysis, jobdata_text: None, figures: None, experiments: Vec::new() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use proptest::prelude::*;

    use super::*;
    use crate::intake::samples::{Member, gzip, gzip_stored, tar_of, tgz_of};
    use crate::model::Value;
    use AnalysisStatus::{NoJobdata, NotAnArchive, Ok as Whole, TooLarge, Truncated};

    const SECRET: &str = "fake8b0e7153bf7c3706d85c524e4400";

    const JOBDATA: &str = "run=pp winclusive 7000 10 - pythia8 8.170 default-noFsr\njobid=20481375\nevents=100000\n\
        BOINC_AUTHENTICATOR=fake8b0e7153bf7c3706d85c524e4400\nBOINC_USERID=90017\n\nexitcode=0\n";

    fn job() -> Vec<Member> {
        vec![
            Member::directory("./"),
            Member::file("./runRivet.log", "0 events processed\n".repeat(40)),
            Member::file("./jobdata", JOBDATA),
            Member::file("./stderr", ""),
            Member::directory("./dat/"),
            Member::file("./dat/pp/7000/default-noFsr.dat", "# BEGIN HISTOGRAM\n"),
            Member::file("./dat/pp/7000/CMS_2011_S8957746.dat", "# BEGIN HISTOGRAM\n"),
            Member::file("./dat/pp/7000/ATLAS_2010_S8919674.dat", "# BEGIN HISTOGRAM\n"),
            Member::file("./dat/ee/ATLAS_2011_S9002537.dat", "# BEGIN HISTOGRAM\n"),
        ]
    }

    fn read(bytes: &[u8]) -> Reading {
        read_within(bytes, &Limits::default())
    }

    fn data_of(reading: &Reading) -> Option<JobData<'_>> {
        reading.jobdata_text.as_deref().map(JobData::of)
    }

    /// Reads and checks what must hold of every file.
    fn read_within(bytes: &[u8], limits: &Limits) -> Reading {
        let reading = read_archive(bytes, &mut [0; 1000], limits, &Redaction::default()).unwrap();
        assert_eq!(reading.blake3.0, *blake3::hash(bytes).as_bytes());
        assert_eq!(reading.size, bytes.len() as u64);
        assert_eq!(reading.figures, data_of(&reading).as_ref().map(JobFigures::of));
        assert_eq!(reading.jobdata_text.is_some(), reading.analysis.status == Whole);
        assert!(!format!("{reading:?}").contains(SECRET));
        reading
    }

    #[track_caller]
    fn check(bytes: &[u8], status: AnalysisStatus, detail: &str) {
        check_within(bytes, &Limits::default(), status, detail);
    }

    #[track_caller]
    fn check_within(bytes: &[u8], limits: &Limits, status: AnalysisStatus, detail: &str) {
        let analysis = read_within(bytes, limits).analysis;
        assert_eq!((analysis.status, analysis.detail.as_deref().unwrap_or("")), (status, detail));
    }

    #[track_caller]
    fn check_jobdata(text: impl AsRef<[u8]>, expected: &str) {
        let reading = read(&tgz_of(&[Member::file("jobdata", text)]));
        assert_eq!(reading.analysis.status, Whole);
        assert_eq!(serde_json::to_string(&data_of(&reading)).unwrap(), expected);
    }

    #[test]
    fn reads_a_job() {
        let reading = read(&tgz_of(&job()));
        assert_eq!(reading.analysis, Analysis { status: Whole, detail: None });
        let data = data_of(&reading).unwrap();
        assert_eq!(data.get("events"), Some(Value::Integer(100_000)));
        assert_eq!(data.get("BOINC_AUTHENTICATOR"), Some(Value::Text("[redacted]")));
        assert_eq!(data.user().as_deref(), Some("b-90017"));
        assert_eq!(reading.jobdata_text.as_deref().unwrap(), JOBDATA.replace(SECRET, "[redacted]"));
        assert_eq!(reading.experiments, ["ATLAS", "CMS"]);
    }

    #[test]
    fn finds_jobdata_with_or_without_a_dot() {
        check(&tgz_of(&[Member::file("jobdata", "a=1")]), Whole, "");
        check(&tgz_of(&[Member::file("./jobdata", "")]), Whole, "");
        check(&tgz_of(&[Member::file("dat/jobdata", "a=1")]), NoJobdata, "");
        check(&tgz_of(&[Member::file("jobdata2", "a=1")]), NoJobdata, "");
        check(&tgz_of(&[Member::directory("jobdata")]), NoJobdata, "");
        check(&tgz_of(&[Member::link("jobdata", "/etc/passwd")]), NoJobdata, "");
        let twice = read(&tgz_of(&[Member::file("jobdata", "a=1"), Member::file("./jobdata", "b=2")]));
        assert_eq!(twice.jobdata_text.as_deref(), Some("b=2"));
        let without = read(&tgz_of(&job().into_iter().filter(|m| m.name != "./jobdata").collect::<Vec<_>>()));
        assert_eq!((without.analysis.status, without.experiments.len()), (NoJobdata, 2));
    }

    #[test]
    fn takes_jobdata_as_it_comes() {
        check_jobdata(
            "odd line\na=b=c\nn=99999999999999999999\n",
            r#"{"a":"b=c","n":"99999999999999999999"}"#,
        );
        check_jobdata("a=1\r\nb=x\r\n", r#"{"a":1,"b":"x"}"#);
        check_jobdata(b"user=Andr\xe9\n", "{\"user\":\"Andr\u{fffd}\"}");
        check_jobdata(b"a=\0\x01\n", r#"{"a":"\u0000\u0001"}"#);
    }

    #[test]
    fn judges_what_is_not_gzip() {
        check(b"", Truncated, "empty file");
        check(b"\x1f", Truncated, "the file ends inside its gzip data");
        check(b"\x1f\x8b\x08", Truncated, "the file ends inside its gzip data");
        check(b"\x1f\x8c", NotAnArchive, "no gzip header");
        check(b"\x1f\x8b\x07", NotAnArchive, "no gzip header");
        check(b"a", NotAnArchive, "no gzip header");
        check(&vec![0; 100_000], NotAnArchive, "no gzip header");
        check(&tar_of(&job()), NotAnArchive, "no gzip header");
    }

    #[test]
    fn judges_what_is_not_a_tar() {
        check(&gzip(b"some text"), NotAnArchive, "no tar inside the gzip data");
        check(&gzip(&b"some text\n".repeat(1000)), NotAnArchive, "no tar inside the gzip data");
        check(&gzip(b""), Truncated, "the tar inside ends without its end mark");
        check(&gzip(&[0; 10_240]), NoJobdata, "");
        let mut damaged = tar_of(&[Member::file("jobdata", "a=1"), Member::file("b", "")]);
        damaged[1024] ^= 1;
        check(&gzip(&damaged), NotAnArchive, "damaged tar header");
    }

    /// A flipped bit anywhere behind gzip's header is found out, by the checksum if by nothing else; unless it was one that
    /// gunzip does not use, and everything unpacks as it was.
    #[test]
    fn finds_every_damage() {
        let good = tgz_of(&job());
        let undamaged = read(&good);
        let mut found = 0;
        for at in 10..good.len() {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            let reading = read(&bytes);
            let same = reading.jobdata_text == undamaged.jobdata_text
                && reading.experiments == undamaged.experiments;
            assert!(reading.analysis.status.is_broken() || same, "at {at}");
            found += usize::from(reading.analysis.status.is_broken());
        }
        assert!(found > good.len() * 9 / 10, "{found} of {}", good.len());
        let mut crc = good.clone();
        let at = crc.len() - 8;
        crc[at] ^= 1;
        check(
            &crc,
            NotAnArchive,
            "damaged gzip data, or other data behind it: corrupt gzip stream does not have a matching checksum",
        );
    }

    #[test]
    fn a_cut_file_is_never_whole() {
        for good in [tgz_of(&job()), gzip_stored(&tar_of(&job()))] {
            check(&good, Whole, "");
            for end in 1..good.len() {
                check(&good[..end], Truncated, "the file ends inside its gzip data");
            }
        }
    }

    /// The writer of the tar died, but gzip ended its data in order: `tar c … | gzip > job.tgz`.
    #[test]
    fn a_cut_tar_in_whole_gzip_is_never_whole() {
        let tar = tar_of(&job());
        let end_mark =
            (0..tar.len()).step_by(512).find(|at| tar[*at..].iter().all(|byte| *byte == 0)).unwrap();
        for block in (0..=end_mark).step_by(512) {
            for end in [block, block + 1, block + 511] {
                let status = if (1..512).contains(&end) { NotAnArchive } else { Truncated };
                assert_eq!(read(&gzip(&tar[..end])).analysis.status, status, "at {end}");
            }
        }
        check(&gzip(&tar[..end_mark + 512]), Whole, "");
    }

    #[test]
    fn judges_what_follows_the_gzip_data() {
        let good = tgz_of(&job());
        let behind = "damaged gzip data, or other data behind it: invalid gzip header";
        check(&[&good[..], &[0; 512]].concat(), NotAnArchive, behind);
        check(&[&good[..], b"something else"].concat(), NotAnArchive, behind);
        check(&[&good[..], b"\n"].concat(), Truncated, "the file ends inside its gzip data");
        // Two gzip members are one stream, wherever it was split.
        let tar = tar_of(&job());
        check(&[gzip(&tar[..700]), gzip(&tar[700..])].concat(), Whole, "");
        check(&[gzip(&tar), gzip(b"")].concat(), Whole, "");
    }

    #[test]
    fn holds_the_limits() {
        let tar = tar_of(&job());
        let file = gzip(&tar);
        let size = tar.len() as u64;
        let limits =
            |unpacked_bytes, members, jobdata_bytes| Limits { unpacked_bytes, members, jobdata_bytes };
        let jobdata = JOBDATA.len() as u64;
        check_within(&file, &limits(size, 9, jobdata), Whole, "");
        let detail = format!("unpacks to more than {} bytes", size - 1);
        check_within(&file, &limits(size - 1, 9, jobdata), TooLarge, &detail);
        check_within(&file, &limits(size, 8, jobdata), TooLarge, "more than 8 members");
        let detail = format!("jobdata is longer than {} bytes", jobdata - 1);
        check_within(&file, &limits(size, 9, jobdata - 1), TooLarge, &detail);
        check_within(&file, &limits(0, 9, jobdata), TooLarge, "unpacks to more than 0 bytes");
        check_within(&file, &limits(u64::MAX, u64::MAX, u64::MAX), Whole, "");
    }

    #[test]
    fn refuses_a_jobdata_of_50_megabytes() {
        let file = tgz_of(&[Member::file("jobdata", "a=1\n".repeat(12_500_000))]);
        check(&file, TooLarge, "jobdata is longer than 1048576 bytes");
    }

    #[test]
    fn refuses_too_many_experiments() {
        let members: Vec<_> = (0..65).map(|n| Member::file(format!("dat/E{n}_2010_S1.dat"), "")).collect();
        check(&tgz_of(&members[..64]), NoJobdata, "");
        check(&tgz_of(&members), TooLarge, "more than 64 experiments");
    }

    #[test]
    fn reads_extension_headers() {
        let long = format!("dat/{}/ATLAS_2010_S1.dat", "d/".repeat(200));
        let pax = |records: &str| Member::raw("pax", b'x', records);
        let gnu = |name: &str| Member::raw("././@LongLink", b'L', format!("{name}\0"));
        let named = |extension| read(&tgz_of(&[extension, Member::file("x", "content")])).experiments;
        assert_eq!(named(gnu(&long)), ["ATLAS"]);
        assert_eq!(named(pax(&format!("{} path={long}\n", long.len() + 10))), ["ATLAS"]);
        assert_eq!(named(pax("21 comment=a\nb\nc\nd\ne\n28 path=dat/CMS_2011_S1.dat\n")), ["CMS"]);
        for malformed in
            ["", "x", "99 path=a\n", "0 path=a\n", "1 ", "18446744073709551615 a=b\n", "8 path=\n"]
        {
            assert_eq!(named(pax(malformed)), [""; 0], "{malformed}");
        }
        // A size in a pax record counts, else the walk would go astray.
        let sized =
            [pax("12 size=512\n"), Member::raw_sized("x", 0, [7; 512]), Member::file("jobdata", "a=1")];
        check(&tgz_of(&sized), Whole, "");
        check(
            &tgz_of(&[gnu(&"x".repeat(300_000))]),
            TooLarge,
            "a tar extension header is longer than 262144 bytes",
        );
        check(
            &tgz_of(&[pax(&"x".repeat(300_000))]),
            TooLarge,
            "a tar extension header is longer than 262144 bytes",
        );
    }

    #[test]
    fn believes_no_size() {
        let claims = |size| tgz_of(&[Member::raw_sized("runRivet.log", size, "")]);
        check(&claims(1 << 32), Truncated, "the tar inside ends without its end mark");
        check(&claims(u64::MAX), Truncated, "the tar inside ends without its end mark");
        let jobdata = tgz_of(&[Member::raw_sized("jobdata", u64::MAX, "")]);
        check(&jobdata, TooLarge, "jobdata is longer than 1048576 bytes");
    }

    /// Ten gigabytes in ten megabytes: unpacked up to the limit, hashed to the end.
    #[test]
    fn stops_at_the_limit_of_a_bomb() {
        let start = tar_of(&[Member::raw_sized("bomb", 10 << 30, "")]);
        let zeros = gzip(&vec![0; 10 << 20]);
        let head = gzip(&start[..512]);
        let bomb = std::iter::once(&head[..]).chain((0..1024).map(|_| &zeros[..]));
        let bytes: Vec<u8> = bomb.flatten().copied().collect();
        assert!(bytes.len() < 20 << 20);
        let limits = Limits { unpacked_bytes: 64 << 20, ..Limits::default() };
        check_within(&bytes, &limits, TooLarge, "unpacks to more than 67108864 bytes");
    }

    /// Hands out a few bytes at a time, is interrupted now and then, fails or ends.
    struct Wayward<'a> {
        bytes: &'a [u8],
        fails: bool,
        reads: Cell<u32>,
    }

    impl Read for Wayward<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            self.reads.set(self.reads.get() + 1);
            if self.reads.get().is_multiple_of(3) {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.bytes.is_empty() && self.fails {
                return Err(io::Error::from_raw_os_error(116));
            }
            let wanted = buffer.len().min(7);
            self.bytes.read(&mut buffer[..wanted])
        }
    }

    #[test]
    fn reads_in_small_pieces() {
        let bytes = tgz_of(&job());
        let source = Wayward { bytes: &bytes, fails: false, reads: Cell::new(0) };
        let reading =
            read_archive(source, &mut [0; 1000], &Limits::default(), &Redaction::default()).unwrap();
        assert_eq!(reading, read(&bytes));
    }

    /// A failed read is no verdict on the file, wherever it happens: in the data, behind a fault, at the very end.
    #[test]
    fn hands_on_the_error_of_a_failed_read() {
        let good = tgz_of(&job());
        for bytes in [&b""[..], b"\x1f", b"plain text", &good[..300], &good] {
            let source = || Wayward { bytes, fails: true, reads: Cell::new(0) };
            let error = read_archive(source(), &mut [0; 1000], &Limits::default(), &Redaction::default())
                .unwrap_err();
            assert_eq!(error.raw_os_error(), Some(116));
            assert_eq!(read_plain(source(), &mut [0; 1000]).unwrap_err().raw_os_error(), Some(116));
        }
    }

    #[test]
    fn only_hashes_a_plain_file() {
        let reading = read_plain(&b"some text"[..], &mut [0; 4]).unwrap();
        assert_eq!(reading.blake3.0, *blake3::hash(b"some text").as_bytes());
        assert_eq!((reading.size, reading.analysis.status), (9, AnalysisStatus::Unread));
        assert_eq!(reading.jobdata_text, None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in any::<Vec<u8>>(), shape in 0..4) {
            let bytes = match shape {
                0 => bytes,
                1 => [&[0x1f, 0x8b, 8][..], &bytes].concat(),
                2 => gzip(&bytes),
                _ => [tgz_of(&job()), bytes].concat(),
            };
            read(&bytes);
        }

        /// Any header whose checksum is right, any data: sizes, kinds and names at random.
        #[test]
        fn random_headers_never_panic(
            members in prop::collection::vec((any::<[u8; 24]>(), any::<u8>(), any::<Vec<u8>>()), 0..6)
        ) {
            let members: Vec<_> = members.into_iter().map(|(size, kind, data)| Member::hostile(size, kind, data)).collect();
            read(&tgz_of(&members));
        }

        #[test]
        fn any_jobdata_is_read_again_from_its_text(jobdata in any::<Vec<u8>>()) {
            let reading = read(&tgz_of(&[Member::file("jobdata", jobdata)]));
            prop_assert_eq!(reading.analysis.status, Whole);
        }
    }
}
