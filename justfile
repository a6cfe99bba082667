# The few entry points. CI (.ci/run) runs the same commands without just.

# Lists them.
default:
    @just --list

# Formatting, lints, documentation, the build without the shell.
check:
    cargo fmt --check
    cargo clippy --workspace --all-targets --locked -- -D warnings
    RUSTDOCFLAGS=-Dwarnings cargo doc --workspace --no-deps --locked
    cargo check -p millstream --no-default-features --features sim --locked

# All tests but the long seeds.
test:
    cargo test --workspace --locked

# The long seeds, `just sim --seeds 1000`: so many of each simulated workload, and a crash at every await of two small scenarios.
# One alone: MILLSTREAM_SIM_SEED=7 cargo test --test simulation node; others than the first ones: MILLSTREAM_SIM_FROM=10000.
sim FLAG="--seeds" SEEDS="1000":
    MILLSTREAM_SIM_SEEDS={{ if FLAG == "--seeds" { SEEDS } else { FLAG } }} MILLSTREAM_SIM_SWEEP=all cargo test --locked --test simulation

# The node on real data: every stanza of the Debian package index, with a kill half-way.
real:
    cargo build --workspace --locked
    python3 tests/real_input.py target/debug/millstream

# The real binary under faults: loss of power on ext4 and XFS, full and failing disks, too few descriptors, SIGKILL. As root, for
# the mounts; what this machine cannot do says NOT TESTED. One alone: `cargo test --test faults full -- --nocapture`
faults CUTS="100" KILLS="300":
    MILLSTREAM_CUTS={{CUTS}} cargo test --locked --test faults -- --nocapture --test-threads=1
    MILLSTREAM_KILLS={{KILLS}} cargo test --locked --test sigkill -- --nocapture

# Load that hurts: 10,000 connections of all bad kinds beside well-behaved ones, and days of retention in minutes. Needs Debian's faketime.
hurt:
    cargo build --workspace --release --locked
    tests/hurt/abuse.py target/release/millstream target/release/millstream-bench
    tests/hurt/soak.py target/release/millstream target/release/millstream-bench

# Real clients against the node: AWS SDKs, CLI, KCL, KPL; `just clients boto3` for one. Installs what is missing.
clients *NAMES:
    tests/clients/install
    cargo build --workspace --locked
    tests/clients/run {{NAMES}}

# The tables of the Kinesis API, from the official model that botocore carries.
model:
    tests/clients/install python
    target/clients/venv/bin/python tools/kinesis-model/generate.py

# Bytes of strangers and of disks, guided by coverage: each target, or those named, for SECONDS. Installs cargo-fuzz if it is missing.
fuzz SECONDS="60" *TARGETS:
    fuzz/run {{SECONDS}} {{TARGETS}}

# Every byte of a node's files spoilt in turn, and every length: one case in EVERY. All of them take hours: best with --release.
rot EVERY="20":
    MILLSTREAM_ROT={{EVERY}} cargo test --locked --release --test simulation rot -- --nocapture

# The decisions under Miri, which finds what safe code cannot do wrong and unsafe code can. Needs a nightly toolchain with miri.
miri:
    PROPTEST_CASES=4 MIRIFLAGS=-Zmiri-disable-isolation cargo +nightly miri test -p millstream --lib --no-default-features --features kinesis -- \
        codec:: format:: log:: protocol:: shard:: catalog:: --skip autoscale --skip the_largest_plan --skip a_full_node

# The tests under the address and the leak sanitizer: the shell's unsafe code most of all.
asan:
    RUSTC_BOOTSTRAP=1 RUSTFLAGS=-Zsanitizer=address cargo test -p millstream --locked --target x86_64-unknown-linux-gnu --target-dir target/asan \
        --lib --test edge --test http --test simulation

# The small operations, one bench each. One alone: cargo bench --bench frame
bench *ARGS:
    cargo bench --locked {{ARGS}}

# What an operation costs without a clock: instructions (needs Debian's valgrind), allocations. `just counts --write` to accept.
counts *ARGS:
    perf/instructions {{ARGS}}
    cargo test --locked -p millstream-gates -- --nocapture

# The claim: a node with defaults, put-to-get at a moderate rate, the most it takes, and the report of both.
headline:
    perf/headline

# Beside what one would use instead; installs what is missing.
peers *ARGS:
    perf/peers/run {{ARGS}}

# Licences and advisories of the dependencies; needs cargo-deny.
deny:
    cargo deny check
