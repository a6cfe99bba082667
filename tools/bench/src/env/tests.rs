use super::*;

struct Fake {
    dir: tempfile::TempDir,
}

impl Fake {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn file(&self, path: &str, text: &str) -> &Self {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn root(&self) -> Root {
        Root(self.dir.path().to_owned())
    }
}

/// Goal: on a machine that says nothing every fact is there and is the word "unknown".
#[test]
fn what_is_missing_is_unknown() {
    let silent = Fake::new();
    let machine = Machine::at(&silent.root());
    let all = facts(&machine, "");
    assert_eq!(all.len(), 12);
    for (name, fact) in all {
        assert_eq!(fact, UNKNOWN, "{name}");
    }
    let disk = Disk::at(&silent.root(), Path::new("/data"));
    assert_eq!(disk, Disk::unknown());
}

/// Goal: the facts of a known machine are read as the kernel writes them.
#[test]
fn a_known_machine() {
    let machine = Fake::new();
    machine
        .file("proc/sys/kernel/osrelease", "6.18.1-amd64\n")
        .file("etc/os-release", "NAME=x\nPRETTY_NAME=\"Debian GNU/Linux 13\"\n")
        .file("proc/cpuinfo", "processor\t: 0\nmodel name\t: AMD EPYC 9654\nflags\t\t: fpu hypervisor avx2\n")
        .file("sys/devices/system/cpu/online", "0-7\n")
        .file("proc/self/status", "Name:\tx\nCpus_allowed_list:\t2-3,6\n")
        .file("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n")
        .file("sys/devices/system/cpu/cpu1/cpufreq/scaling_governor", "powersave\n")
        .file("sys/devices/system/cpu/cpu2/cpufreq/scaling_governor", "performance\n")
        .file("proc/meminfo", "MemTotal:       24637432 kB\nMemFree: 1 kB\n")
        .file("proc/self/limits", "Limit  Soft  Hard  Units\nMax locked memory         8388608  unlimited  bytes\n")
        .file("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n")
        .file("proc/sys/net/ipv4/tcp_congestion_control", "cubic\n")
        .file("sys/class/dmi/id/sys_vendor", "QEMU\n")
        .file("proc/loadavg", "0.52 0.58 0.59 1/189 4242\n");
    let found = Machine::at(&machine.root());
    let expected = Machine {
        kernel: "6.18.1-amd64".to_owned(),
        os: "Debian GNU/Linux 13".to_owned(),
        cpu: "AMD EPYC 9654".to_owned(),
        cpus_online: "0-7".to_owned(),
        cpus_allowed: "2-3,6".to_owned(),
        governor: "performance, powersave".to_owned(),
        memory: "23.5 GiB".to_owned(),
        memlock: "8 MiB".to_owned(),
        clock_source: "tsc".to_owned(),
        tcp_congestion: "cubic".to_owned(),
        virtualization: "virtual machine (the CPU says so); QEMU".to_owned(),
        load_average: "0.52 0.58 0.59".to_owned(),
    };
    assert_eq!(found, expected);
    assert_eq!(parse_cpu_list(&found.cpus_allowed), [2, 3, 6]);
}

/// Goal: the disk of a directory is that of the deepest mount above it, and a partition's model is its disk's.
#[test]
fn the_disk_of_a_directory() {
    let machine = Fake::new();
    let mounts = "21 1 259:1 / / rw,relatime shared:1 - ext4 /dev/nvme0n1p1 rw,errors=remount-ro\n\
                  30 21 259:2 / /var/my\\040data rw,noatime shared:2 - xfs /dev/nvme0n1p2 rw,noatime,nobarrier\n\
                  31 21 0:25 / /var/my rw - tmpfs tmpfs rw\n";
    machine
        .file("proc/self/mountinfo", mounts)
        .file("sys/block/nvme0n1/device/model", "Fast Disk 2000   \n")
        .file("sys/block/nvme0n1/queue/rotational", "0\n")
        .file("sys/block/nvme0n1/queue/write_cache", "write through\n")
        .file("sys/block/nvme0n1/nvme0n1p2/partition", "2\n")
        .file("sys/dev/block/.keep", "");
    let to = machine.dir.path().join("sys/block/nvme0n1/nvme0n1p2");
    std::os::unix::fs::symlink(to, machine.dir.path().join("sys/dev/block/259:2")).unwrap();
    let disk = Disk::at(&machine.root(), Path::new("/var/my data/streams"));
    let expected = Disk {
        device: "/dev/nvme0n1p2".to_owned(),
        model: "Fast Disk 2000".to_owned(),
        kind: "ssd".to_owned(),
        write_cache: "write through".to_owned(),
        file_system: "xfs".to_owned(),
        mount_options: "rw,noatime,nobarrier".to_owned(),
    };
    assert_eq!(disk, expected);
    let other = Disk::at(&machine.root(), Path::new("/home"));
    assert_eq!((other.device.as_str(), other.model.as_str()), ("/dev/nvme0n1p1", UNKNOWN));
}

/// Goal: the placement of a server is told by its address.
#[test]
fn placement_by_address() {
    assert_eq!(placement(([127, 0, 0, 1], 1).into()), "same machine, loopback");
    // A documentation address is nobody's.
    assert_eq!(placement(([192, 0, 2, 1], 1).into()), "another machine, 192.0.2.1");
}

/// Goal: on the machine of the test the facts that every Linux has are found.
#[test]
fn this_machine() {
    let here = Machine::here();
    assert_ne!(here.kernel, UNKNOWN);
    assert_ne!(here.cpus_allowed, UNKNOWN);
    assert!(!allowed_cpus().is_empty());
}

/// Goal: what goes into a result has every fact of machine, disk and placement, those that are not known as "unknown".
#[test]
fn detection_leaves_nothing_out() {
    let server = ([127, 0, 0, 1], 1).into();
    let found = detect(server, None, Some(std::process::id()));
    assert_eq!((found.facts.len(), found.storage.len(), found.placement.len()), (12, 6, 3));
    assert!(found.storage.iter().all(|(name, fact)| name.starts_with("disk_") && fact == UNKNOWN));
    assert_eq!(found.placement["client_cpus"], found.placement["server_cpus"], "both are this process");
    let here = detect(server, Some(&std::env::current_dir().unwrap()), None);
    assert_ne!(here.storage["disk_file_system"], UNKNOWN);
    assert_eq!(here.placement["server_cpus"], UNKNOWN);
}
