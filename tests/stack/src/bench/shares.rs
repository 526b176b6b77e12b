//! The same at the share of a processor that Lambda gives to a memory size, over TLS, with tables as far away as they are: what a delivery
//! takes and costs, and so which size the template should ask for.
//!
//! <https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html>: 1,769 MB have one whole processor.

use std::fs::{create_dir, remove_dir, write};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use local_aws::{Fault, Rule};
use stack::{ROUTE, Stack};

use super::contestants::{deployed, executable, new_task};
use super::figures::{Times, timed};
use super::payloads::Payloads;
use super::tls::Tls;
use super::{Bench, setting};

const SIZES: [u32; 5] = [128, 256, 512, 1024, 1769];
const WHOLE_PROCESSOR: u32 = 1769;
/// How often a share is dealt out, microseconds, as is observed of Lambda.
const PERIOD: u32 = 20_000;
/// What a call of DynamoDB or Secrets Manager takes within a region.
const TABLE: Duration = Duration::from_millis(4);
/// Dollars, us-east-1, x86_64: <https://aws.amazon.com/lambda/pricing/>.
const PER_GB_SECOND: f64 = 0.000_016_666_7;
const PER_MILLION_REQUESTS: f64 = 0.2;

const CONTESTANTS: [(&str, &str); 3] = [("webhook", "ours"), ("probot", "Probot"), ("python", "FastAPI + Mangum")];

/// A group of processes with a quota, in either version of the kernel's interface; it is gone when dropped.
/// <https://docs.kernel.org/scheduler/sched-bwc.html>, <https://docs.kernel.org/admin-guide/cgroup-v2.html>
struct Group(PathBuf);

impl Group {
    fn new(name: &str, megabytes: u32) -> io::Result<Self> {
        let quota = PERIOD * megabytes / WHOLE_PROCESSOR;
        let name = format!("konduktor-bench-{}-{name}-{megabytes}", std::process::id());
        let first = Path::new("/sys/fs/cgroup/cpu");
        let group = Self(if first.is_dir() { first } else { Path::new("/sys/fs/cgroup") }.join(name));
        create_dir(&group.0)?;
        if first.is_dir() {
            write(group.0.join("cpu.cfs_period_us"), PERIOD.to_string())?;
            write(group.0.join("cpu.cfs_quota_us"), quota.to_string())?;
        } else {
            write(group.0.join("cpu.max"), format!("{quota} {PERIOD}"))?;
        }
        Ok(group)
    }

    /// A script that joins the group and becomes the executable.
    fn launcher(&self, folder: &Path, executable: &Path) -> io::Result<PathBuf> {
        let script = folder.join(self.0.file_name().unwrap_or_default());
        let joins = self.0.join("cgroup.procs");
        write(&script, format!("#!/bin/sh\necho $$ >'{}'\nexec '{}'\n", joins.display(), executable.display()))?;
        std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755))?;
        Ok(script)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // Killed processes take a moment to be gone; one that stays keeps an empty folder, which the next boot has not.
        let _ = (0..200).any(|_| {
            std::thread::sleep(Duration::from_millis(10));
            remove_dir(&self.0).is_ok()
        });
    }
}

/// For each size, every contestant; where the machine gives no quota, it says so.
pub(super) async fn run(bench: &Bench) {
    if let Err(error) = Group::new("try", WHOLE_PROCESSOR) {
        println!(
            "\nNo quota of processor time can be set here ({error}): the shares of Lambda's memory sizes are not measured."
        );
        return;
    }
    let stack = bench.stack().await;
    let tls = Tls::start(&stack).await;
    stack.dynamodb.fail(Rule::new(Fault::Delay(TABLE)).times(usize::MAX));
    stack.secrets.fail(Rule::new(Fault::Delay(TABLE)).times(usize::MAX));
    println!(
        "\nA merge at the share of a memory size, over TLS, tables 4 ms away (median, ms), and what a million cost (USD, Lambda alone)"
    );
    println!("  {:>6}  {:<18}{:>9}{:>9}{:>12}{:>12}", "MB", "", "cold", "warm", "warm USD", "cold USD");
    for megabytes in SIZES {
        size(bench, &stack, &tls, megabytes).await;
    }
}

async fn size(bench: &Bench, stack: &Stack, tls: &Tls, megabytes: u32) {
    let scripts = tempfile::tempdir().expect("a temporary folder");
    let payloads = Payloads::of(stack);
    for (index, (name, label)) in CONTESTANTS.into_iter().enumerate() {
        let group = Group::new(name, megabytes).expect("a group with a quota");
        let script = group.launcher(scripts.path(), &executable(bench, name)).expect("a script");
        let function = format!("{name}_{megabytes}");
        let deployed = deployed(&function, script, stack, &tls.variables()).memory(megabytes);
        // Lambda would end a start of more than 10 s and begin again; here it is waited for, to be shown.
        stack.lambda.add(deployed.init_timeout(Duration::from_secs(120)).timeout(Duration::from_secs(120)));
        let front = stack.lambda.front(&function, ROUTE).await;
        let first = u64::from(megabytes) * 10_000_000 + index as u64 * 1_000_000;
        let (mut cold, mut warm) = (Times::default(), Times::default());
        let (starts, rounds) = (setting("STARTS", 5), setting("WARM", 100).min(100));
        for number in 0..(starts + rounds) as u64 {
            let task = new_task(stack);
            let starts_now = number < starts as u64;
            if starts_now {
                stack.lambda.kill_environments(&function);
            }
            let event = front.event(payloads.delivery("merged", first + number + 1, &task));
            let (took, answer) = timed(front.invoke_event(event)).await;
            assert!(answer.is_ok_and(|answer| answer["statusCode"] == 200), "{label} at {megabytes} MB");
            if starts_now { cold.push(took) } else { warm.push(took) }
        }
        stack.lambda.kill_environments(&function);
        let dollars = |times: &Times| dollars(times.mean(), megabytes);
        println!(
            "  {megabytes:>6}  {label:<18}{:>9.1}{:>9.1}{:>12.2}{:>12.2}",
            cold.at(0.5),
            warm.at(0.5),
            dollars(&warm),
            dollars(&cold)
        );
    }
}

/// A million invocations of so many milliseconds, which are billed whole.
fn dollars(milliseconds: f64, megabytes: u32) -> f64 {
    let gigabyte_seconds = milliseconds.ceil() * 1000.0 * f64::from(megabytes) / 1024.0;
    PER_MILLION_REQUESTS + gigabyte_seconds * PER_GB_SECOND
}
