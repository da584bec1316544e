//! What the process itself costs, read from `/proc/self` when somebody scrapes. Elsewhere the lines are left out.

use crate::family::Desc;
use crate::registry::Registry;
use std::fs;
use std::sync::OnceLock;

/// Registers the process metrics every Prometheus dashboard knows.
pub fn register(registry: &Registry) {
    let desc = |name, help| Desc { name, help, labels: &[] };
    registry
        .counter(desc("process_cpu_seconds_total", "User and system CPU time spent, in seconds."))
        .with_fn(&[], || cpu_seconds(&stat()?, ticks_per_second()));
    registry.gauge_fn(desc("process_resident_memory_bytes", "Resident memory size in bytes."), || {
        status_bytes(&read("status")?, "VmRSS")
    });
    registry.gauge_fn(desc("process_virtual_memory_bytes", "Virtual memory size in bytes."), || {
        status_bytes(&read("status")?, "VmSize")
    });
    registry.gauge_fn(desc("process_open_fds", "Number of open file descriptors."), open_fds);
    registry
        .gauge_fn(desc("process_max_fds", "Maximum number of open file descriptors."), || max_fds(&read("limits")?));
    registry.gauge_fn(
        desc("process_start_time_seconds", "Start time of the process since the Unix epoch, in seconds."),
        start_time,
    );
}

fn read(name: &str) -> Option<String> {
    fs::read_to_string(format!("/proc/self/{name}")).ok()
}

fn stat() -> Option<String> {
    read("stat")
}

/// Field `number` of `stat`, counted from 1 as in proc_pid_stat(5). The second field is the program's name in
/// parentheses and may hold anything, so counting starts behind the last of them.
fn stat_field(stat: &str, number: usize) -> Option<f64> {
    stat.rsplit_once(") ")?.1.split(' ').nth(number.checked_sub(3)?)?.parse().ok()
}

fn cpu_seconds(stat: &str, ticks_per_second: f64) -> Option<f64> {
    Some((stat_field(stat, 14)? + stat_field(stat, 15)?) / ticks_per_second)
}

/// A line such as `VmRSS:     1234 kB`.
fn status_bytes(status: &str, name: &str) -> Option<f64> {
    let rest = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    let kibibytes: f64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes * 1024.0)
}

fn max_fds(limits: &str) -> Option<f64> {
    let soft = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace().next()?;
    if soft == "unlimited" { Some(f64::INFINITY) } else { soft.parse().ok() }
}

fn open_fds() -> Option<f64> {
    // The directory itself is open while it is read.
    let open = fs::read_dir("/proc/self/fd").ok()?.count().saturating_sub(1);
    u32::try_from(open).ok().map(f64::from)
}

/// Computed once: the machine's boot time moves with its wall clock.
fn start_time() -> Option<f64> {
    static START: OnceLock<Option<f64>> = OnceLock::new();
    *START.get_or_init(|| {
        let machine = fs::read_to_string("/proc/stat").ok()?;
        let boot: f64 = machine.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
        Some(boot + stat_field(&stat()?, 22)? / ticks_per_second())
    })
}

/// The kernel's unit of CPU time, from the auxiliary vector (`AT_CLKTCK`, getauxval(3)); 100 on every current Linux.
fn ticks_per_second() -> f64 {
    static TICKS: OnceLock<f64> = OnceLock::new();
    *TICKS.get_or_init(|| fs::read("/proc/self/auxv").ok().and_then(|auxv| clock_ticks(&auxv)).unwrap_or(100.0))
}

fn clock_ticks(auxv: &[u8]) -> Option<f64> {
    const AT_CLKTCK: usize = 17;
    let mut words = auxv.chunks_exact(size_of::<usize>()).map(|word| word.try_into().map(usize::from_ne_bytes));
    while let (Some(Ok(key)), Some(Ok(value))) = (words.next(), words.next()) {
        if key == AT_CLKTCK {
            return u32::try_from(value).ok().filter(|ticks| *ticks > 0).map(f64::from);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_name_with_spaces_and_parentheses_moves_no_field() {
        let stat = "42 (a) b (c)) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 12345 1000000 250 1844";
        assert_eq!(cpu_seconds(stat, 100.0), Some(3.0));
        assert_eq!(stat_field(stat, 22), Some(12345.0));
        assert_eq!(stat_field("nonsense", 22), None);
    }

    #[test]
    fn status_and_limits_are_read() {
        assert_eq!(status_bytes("Name:\tx\nVmRSS:\t    2 kB\n", "VmRSS"), Some(2048.0));
        assert_eq!(status_bytes("VmRSSX: 2 kB\n", "VmRSS"), None);
        assert_eq!(
            max_fds("Max open files            1024                 4096                 files\n"),
            Some(1024.0)
        );
        assert_eq!(max_fds("Max open files  unlimited unlimited files\n"), Some(f64::INFINITY));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn this_process_can_be_read() {
        for value in [cpu_seconds(&stat().expect("stat"), ticks_per_second()), open_fds(), start_time()] {
            assert!(value.is_some_and(|value| value >= 0.0), "{value:?}");
        }
        assert!(start_time() > Some(1.0e9));
        assert!(status_bytes(&read("status").expect("status"), "VmSize") > Some(1e6));
    }
}
