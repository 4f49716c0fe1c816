//! What the system knows about this process, under the names that all Prometheus clients use.

use prometheus_client::{collector::Collector, encoding::DescriptorEncoder};

/// Asks the system at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    #[cfg(target_os = "linux")]
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        use rustix::process::{Resource, getrlimit};

        let mut out = super::export::Writer(encoder);
        // What the system does not tell is left out.
        let Ok(process) = procfs::process::Process::myself() else {
            return Ok(());
        };
        if let Ok(stat) = process.stat() {
            let ticks = procfs::ticks_per_second() as f64;
            out.counter(
                "process_cpu_seconds",
                "Time that the process was running on a processor.",
                (stat.utime + stat.stime) as f64 / ticks,
            )?;
            out.gauge(
                "process_resident_memory_bytes",
                "Memory of the process that is in RAM.",
                stat.rss.saturating_mul(procfs::page_size()),
            )?;
            out.gauge(
                "process_virtual_memory_bytes",
                "Address space of the process.",
                stat.vsize,
            )?;
            out.gauge(
                "process_threads",
                "Threads of the process.",
                stat.num_threads,
            )?;
            if let Ok(boot) = procfs::boot_time_secs() {
                out.gauge(
                    "process_start_time_seconds",
                    "When the process was started, in Unix time.",
                    boot as f64 + stat.starttime as f64 / ticks,
                )?;
            }
        }
        if let Ok(open) = process.fd_count() {
            out.gauge("process_open_fds", "Open file descriptors.", open)?;
        }
        if let Some(max) = getrlimit(Resource::Nofile).current {
            out.gauge(
                "process_max_fds",
                "File descriptors that the process may have open.",
                max,
            )?;
        }
        Ok(())
    }

    #[cfg(not(target_os = "linux"))]
    fn encode(&self, _: DescriptorEncoder<'_>) -> std::fmt::Result {
        Ok(())
    }
}
