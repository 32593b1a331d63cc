//! A finished job of a volunteer-computing farm: what ran, whose it was, and the archive that its worker drops.
//!
//! True to the shape of a real one of 2014, with invented users. The authenticators are plainly no real ones.

use std::fmt::Write;

use serde_json::json;

use super::archive::{Member, tgz_of};
use super::dice::Dice;

/// What was simulated, and which published measurements it is compared with.
struct Setup {
    beam: &'static str,
    process: &'static str,
    energy: &'static str,
    params: &'static str,
    /// Observable, cut and analysis.
    analyses: &'static [(&'static str, &'static str, &'static str)],
}

const SETUPS: [Setup; 10] = [
    Setup {
        beam: "pp",
        process: "winclusive",
        energy: "7000",
        params: "10",
        analyses: &[
            ("pt", "atlas9-mu-1", "ATLAS_2010_S8919674"),
            ("pt", "atlas9-el-2", "ATLAS_2010_S8919674"),
        ],
    },
    Setup {
        beam: "pp",
        process: "jets",
        energy: "7000",
        params: "20",
        analyses: &[
            ("pt", "atlas2011-y0", "ATLAS_2011_S9128077"),
            ("dphi", "cms2011-pt1", "CMS_2011_S8950903"),
        ],
    },
    Setup {
        beam: "pp",
        process: "uemb",
        energy: "900",
        params: "-",
        analyses: &[
            ("nch", "alice2010-eta10", "ALICE_2010_S8624100"),
            ("nch", "cms2011-eta05", "CMS_2011_S8884919"),
        ],
    },
    Setup {
        beam: "pp",
        process: "uemb-soft",
        energy: "7000",
        params: "-",
        analyses: &[
            ("eta", "totem2012", "TOTEM_2012_I1115294"),
            ("eflow", "lhcf2012-y9", "LHCF_2012_I1115479"),
        ],
    },
    Setup {
        beam: "pp",
        process: "strange",
        energy: "900",
        params: "-",
        analyses: &[("y", "lhcb2010-k0s", "LHCB_2010_S8758301")],
    },
    Setup {
        beam: "pp",
        process: "jets",
        energy: "200",
        params: "-",
        analyses: &[("pt", "star2006", "STAR_2006_S6870392")],
    },
    Setup {
        beam: "ppbar",
        process: "jets",
        energy: "1960",
        params: "37",
        analyses: &[("dphi", "d02004-100", "D0_2004_S5992206"), ("shape", "cdf2005-37", "CDF_2005_S6217184")],
    },
    Setup {
        beam: "ppbar",
        process: "uemb",
        energy: "546",
        params: "-",
        analyses: &[("nch", "ua5-1982", "UA5_1982_S875503")],
    },
    Setup {
        beam: "ppbar",
        process: "uemb",
        energy: "630",
        params: "-",
        analyses: &[("pt", "ua1-1990", "UA1_1990_S2044935")],
    },
    Setup {
        beam: "ee",
        process: "zhad",
        energy: "91.2",
        params: "-",
        analyses: &[
            ("thrust", "aleph1996", "ALEPH_1996_S3486095"),
            ("thrust", "delphi1996", "DELPHI_1996_S3430090"),
            ("thrust", "opal2004", "OPAL_2004_S6132243"),
            ("xp", "sld2004-all", "SLD_2004_S5693039"),
        ],
    },
];

/// Generator, version and tune.
const GENERATORS: [(&str, &str, &str); 7] = [
    ("pythia8", "8.170", "default-noFsr"),
    ("pythia8", "8.175", "tune-4c"),
    ("pythia6", "6.427", "z2"),
    ("herwig++", "2.6.3", "LHC-UE-EE-4"),
    ("sherpa", "1.4.2", "default"),
    ("epos", "1.99.crmc.0.v3400", "default"),
    ("alpgenpythia6", "2.1.4_6.425", "350-CTEQ5L"),
];

const EVENTS: [u64; 6] = [5_000, 10_000, 20_000, 50_000, 100_000, 100_000];

/// What a job ends with when it fails: an error, a usage error, an abort, a segmentation fault.
const FAILURES: [i64; 4] = [1, 2, 134, 139];

/// How many users there are to draw from.
const USERS: u64 = 200;

/// How a job says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Owner {
    /// With all of the BOINC fields.
    Boinc(u64),
    /// With `BOINC_USERID` and none of the others.
    BoincNumber(u64),
    /// With `USER_ID`, from a farm that is not BOINC's.
    Other(u64),
    /// Not at all.
    Nobody,
}

impl Owner {
    /// The user in the statistics.
    fn user(self) -> Option<String> {
        match self {
            Self::Boinc(number) | Self::BoincNumber(number) => Some(format!("b-{}", 90_000 + number)),
            Self::Other(number) => Some(format!("t4t-{number:04}")),
            Self::Nobody => None,
        }
    }

    fn jobdata(self) -> String {
        match self {
            Self::Boinc(number) => format!(
                "BOINC_USERNAME=volunteer-{number}\nBOINC_AUTHENTICATOR={}\nBOINC_USERID={}\n",
                authenticator_of(number),
                90_000 + number
            ),
            Self::BoincNumber(number) => format!("BOINC_USERID={}\n", 90_000 + number),
            Self::Other(number) => format!("USER_ID=t4t-{number:04}\n"),
            Self::Nobody => String::new(),
        }
    }
}

/// As long as a real one, and plainly none.
fn authenticator_of(number: u64) -> String {
    format!("fake{number:028}")
}

/// A finished job. Change a field to make a special one.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    /// Its number, which names its file.
    pub(crate) jobid: u64,
    /// Whose it is.
    pub(crate) owner: Owner,
    /// How many events it was to make.
    pub(crate) events: u64,
    /// 0, or why it failed.
    pub(crate) exitcode: i64,
    /// Whether it wrote its analyses: failed jobs may stop before.
    pub(crate) has_results: bool,
    /// How many bytes that do not compress are added.
    pub(crate) padding: usize,
    setup: usize,
    generator: usize,
    seed: u64,
    index: u64,
}

impl Job {
    /// Job number `index` of a run with `seed`.
    pub(crate) fn draw(seed: u64, index: u64) -> Self {
        let mut dice = Dice::new(seed, index, "job");
        let number = dice.below(USERS);
        let owner = match dice.below(100) {
            0..85 => Owner::Boinc(number),
            85..90 => Owner::BoincNumber(number),
            90..97 => Owner::Other(number),
            _ => Owner::Nobody,
        };
        let failed = dice.chance(5);
        Self {
            jobid: 20_000_000 + seed % 1_000 * 10_000_000 + index,
            owner,
            events: *dice.pick(&EVENTS),
            exitcode: if failed { *dice.pick(&FAILURES) } else { 0 },
            has_results: !failed || dice.chance(50),
            padding: 0,
            setup: usize::try_from(dice.below(SETUPS.len() as u64)).unwrap_or(0),
            generator: usize::try_from(dice.below(GENERATORS.len() as u64)).unwrap_or(0),
            seed,
            index,
        }
    }

    /// The same job with another setup and generator, each counted from 0 and beginning again after the last.
    pub(crate) fn of_kind(self, setup: usize, generator: usize) -> Self {
        Self { setup: setup % SETUPS.len(), generator: generator % GENERATORS.len(), ..self }
    }

    /// The name of its file.
    pub(crate) fn file_name(&self) -> String {
        format!("job-{}.tgz", self.jobid)
    }

    /// Its archive.
    pub(crate) fn archive(&self) -> Vec<u8> {
        tgz_of(&self.members())
    }

    /// The members of its archive, in the order in which a worker packs them.
    pub(crate) fn members(&self) -> Vec<Member> {
        let mut members = vec![
            Member::directory("./"),
            Member::script(
                "./_wrapper_.sh",
                "#!/bin/sh\n./runRivet.sh $@ >runRivet.log 2>&1\necho exitcode=$? >> jobdata\n",
            ),
            Member::file("./stdout", ""),
            Member::file("./runRivet.log", self.log()),
            Member::file("./jobdata", self.jobdata()),
            Member::file("./resources", ""),
            Member::file("./stderr", ""),
        ];
        if self.padding > 0 {
            let padding = Dice::new(self.seed, self.index, "padding").bytes(self.padding);
            members.push(Member::file("./padding", padding));
        }
        if self.has_results {
            members.extend(self.results());
        }
        members
    }

    /// What it should add to the statistics, as one object; `experiments` as the archive names them, sorted, distinct.
    pub(crate) fn summary(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut experiments: Vec<_> =
            self.setup().analyses.iter().filter_map(|(.., name)| name.split('_').next()).collect();
        experiments.sort_unstable();
        experiments.dedup();
        let (cpuusage, diskusage) = self.usage();
        let summary = json!({
            "jobid": self.jobid,
            "user": self.owner.user(),
            "generator": self.generator().0,
            "events": self.events,
            "exitcode": self.exitcode,
            "cpuusage": cpuusage,
            "diskusage": diskusage,
            "experiments": if self.has_results { experiments } else { Vec::new() },
        });
        match summary {
            serde_json::Value::Object(fields) => fields,
            _ => serde_json::Map::new(),
        }
    }

    fn setup(&self) -> &'static Setup {
        SETUPS.get(self.setup).expect("the number is below the length")
    }

    fn generator(&self) -> (&'static str, &'static str, &'static str) {
        *GENERATORS.get(self.generator).expect("the number is below the length")
    }

    /// CPU seconds and megabytes on disk.
    fn usage(&self) -> (u64, u64) {
        let mut dice = Dice::new(self.seed, self.index, "usage");
        (self.events / 100 + dice.below(2_000), 1_500 + dice.below(1_000))
    }

    fn jobdata(&self) -> String {
        let Setup { beam, process, energy, params, .. } = self.setup();
        let (generator, version, tune) = self.generator();
        let run = format!("{beam} {process} {energy} {params} - {generator} {version} {tune}");
        let mut dice = Dice::new(self.seed, self.index, "jobdata");
        let (runid, events, number) = (300_000 + dice.below(50_000), self.events, dice.below(1_000));
        let (cpuusage, diskusage) = self.usage();
        let agent = format!("agent_s-{number}_1_7_{:016x}_-g", dice.below(u64::MAX));
        format!(
            "runspec=boinc {run} {events} {number}\nrun={run}\njobid={}\nrevision=1719\nrunid={runid}\nsystem=1\n\
             events={events}\nseed={number}\ncpuusage={cpuusage}\ndiskusage={diskusage}\n{}\nAGENT_JABBER_ID={agent}\n\n\
             exitcode={}\n",
            self.jobid,
            self.owner.jobdata(),
            self.exitcode
        )
    }

    /// A line for every hundred events; a failed job stops on the way.
    fn log(&self) -> String {
        let mut dice = Dice::new(self.seed, self.index, "log");
        let events = if self.exitcode == 0 { self.events } else { dice.below(self.events) };
        let mut log = String::new();
        for event in (0..events).step_by(100) {
            let rate = 42.0 + dice.fraction() * 18.0;
            let xsec = 1.0 + dice.fraction() * 8.0;
            let error = 1.0 + dice.fraction() * 8.99;
            let _infallible = writeln!(
                log,
                "{event:>7} events processed, {rate:.1} ev/s, xsec {xsec:.5}e+00 +- {error:.2}e-02"
            );
        }
        if self.exitcode != 0 {
            let _infallible = writeln!(log, "ERROR: generator ended with exit code {}", self.exitcode);
        }
        log
    }

    fn results(&self) -> Vec<Member> {
        let Setup { beam, process, energy, analyses, .. } = self.setup();
        let (generator, version, tune) = self.generator();
        let mut members = Vec::new();
        let mut made = Vec::new();
        for (number, (observable, cut, analysis)) in analyses.iter().enumerate() {
            let histogram = self.histogram(number as u64);
            let place = format!("./dat/{beam}/{process}/{observable}/{cut}/{energy}/{generator}/{version}/");
            for (end, _) in place.match_indices('/').skip(1) {
                let directory = place.get(..=end).unwrap_or_default().to_owned();
                if !made.contains(&directory) {
                    members.push(Member::directory(&directory));
                    made.push(directory);
                }
            }
            members.push(Member::file(format!("{place}{tune}.dat"), &histogram));
            let params = format!("generator={generator}\nversion={version}\ntune={tune}\n");
            members.push(Member::file(format!("{place}{tune}.params"), params));
            let measured = format!("./dat/{beam}/{process}/{observable}/{cut}/{energy}/{analysis}.dat");
            members.push(Member::file(measured, &histogram));
        }
        members
    }

    fn histogram(&self, number: u64) -> String {
        let mut dice = Dice::new(self.seed, self.index, &format!("histogram {number}"));
        let mut histogram = String::from("# BEGIN HISTOGRAM\n");
        for bin in 0..22 {
            let (low, high) = (f64::from(bin) * 5.0, f64::from(bin + 1) * 5.0);
            let (value, error) = (1.0 + dice.fraction() * 8.99, 1.0 + dice.fraction() * 8.99);
            let _infallible = writeln!(histogram, "{low:.1}\t{high:.1}\t{value:.6}e-01\t{error:.6}e-03");
        }
        histogram.push_str("# END HISTOGRAM\n");
        histogram
    }
}
