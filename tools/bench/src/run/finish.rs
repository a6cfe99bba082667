//! From what the threads told to the result.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::send::SendTotals;
use super::{Ran, Setup, describe};
use crate::driver::{Driver, ServerInfo};
use crate::node::Node;
use crate::result::{
    Calibration, GeneratorInfo, Latencies, NodeUse, PutTotals, ReadTotals, RunResult, SCHEMA, TargetInfo, Verdict,
};
use crate::stats::Histogram;
use crate::validity::{Observed, judge};
use crate::verify::Verification;

/// More than this share of the machine's CPU time taken by its hypervisor is worth a word beside the figures.
const STOLEN_SHARE: f64 = 0.01;

/// What was known before the load began.
pub(super) struct Before<'a> {
    pub(super) started_unix_ms: u64,
    pub(super) info: ServerInfo,
    pub(super) timer: Histogram,
    pub(super) calibration: Option<Calibration>,
    pub(super) node: Option<&'a Arc<Mutex<Node>>>,
}

pub(super) fn result<D: Driver>(setup: &Setup, ran: Ran, before: Before<'_>) -> RunResult {
    let workload = &setup.workload;
    let measured_ns = ran.end_ns.saturating_sub(ran.times.measure_ns);
    let measured_s = measured_ns as f64 / 1e9;
    let sum = |of: fn(&SendTotals) -> u64| ran.sends.iter().map(of).sum::<u64>();
    let (sent, acked) = (sum(|t| t.sent), sum(|t| t.acked));
    let (failed, unknown) = (sum(|t| t.failed), sum(|t| t.unknown));
    let per_s = |count: u64| if measured_s > 0.0 { count as f64 / measured_s } else { 0.0 };
    let mut errors: BTreeMap<String, u64> = BTreeMap::new();
    for (kind, count) in ran.sends.iter().flat_map(|totals| &totals.errors) {
        *errors.entry(kind.clone()).or_default() += count;
    }
    let put = PutTotals {
        scheduled: sum(|t| t.scheduled),
        sent,
        acked,
        acked_bytes: sum(|t| t.acked_bytes),
        failed,
        unknown,
        unresolved: sent.saturating_sub(acked + failed + unknown),
        records_per_s: per_s(sum(|t| t.acked_within)),
        bytes_per_s: per_s(sum(|t| t.acked_within_bytes)),
        errors,
        retries: None,
    };
    let cpu_send_s = ran.sends.iter().map(|totals| totals.cpu_ns).sum::<f64>() / 1e9;
    let cpu_receive_s = ran.receive_cpu_ns / 1e9;
    let observed = Observed {
        threads: ran.sends.len() as u32,
        measured_ns,
        scheduled: put.scheduled,
        late: sum(|t| t.late),
        held_back: sum(|t| t.held_back),
        blocked_ns: sum(|t| t.blocked_ns),
        making_up_ns: sum(|t| t.making_up_ns),
    };
    let all_ns = measured_ns.max(1) as f64 * ran.sends.len().max(1) as f64;
    let generator = GeneratorInfo {
        timer: before.timer.distribution(),
        cpu_send_s,
        cpu_receive_s,
        blocked_share: observed.blocked_ns as f64 / all_ns,
        late: observed.late,
        caught_up: sum(|t| t.caught_up),
        calibration: before.calibration,
    };
    let node = ran.meter.as_ref().and_then(|meter| {
        let cpu_s = meter.cpu_s()?;
        let generator_cpu_ratio = if cpu_s > 0.0 { (cpu_send_s + cpu_receive_s) / cpu_s } else { 0.0 };
        Some(NodeUse { pid: meter.pid(), cpu_s, rss_bytes: meter.rss_bytes(), generator_cpu_ratio })
    });
    let mut verdict = Verdict {
        closed_loop: workload.is_closed(),
        interrupted: ran.interrupted,
        notes: ran.notes,
        ..Verdict::default()
    };
    match workload.is_closed() {
        false => {
            let judgement = judge(&observed, &workload.validity);
            (verdict.invalid, verdict.saturated) = (judgement.invalid, judgement.saturated);
        }
        true if acked == 0 => verdict.invalid.push("nothing was measured".to_owned()),
        true => {}
    }
    let stolen_share = ran.stolen.share();
    if let Some(share) = stolen_share.filter(|share| *share > STOLEN_SHARE) {
        verdict.notes.push(format!(
            "the hypervisor took {:.1} % of this machine's CPU time: latencies are partly its own",
            share * 100.0
        ));
    }
    if put.unresolved > 0 {
        verdict.notes.push(format!("{} records had no outcome after {}", put.unresolved, workload.drain));
    }
    if failed + unknown > 0 {
        verdict.notes.push(format!("{failed} puts failed, {unknown} have an unknown outcome"));
    }
    let read = ran.groups.iter().map(|group| ReadTotals {
        group: group.group,
        received: group.received,
        received_bytes: group.received_bytes,
        records_per_s: per_s(group.received),
        bytes_per_s: per_s(group.received_bytes),
        errors: group.errors.clone(),
        shards: group.shards,
    });
    let read: Vec<_> = read.collect();
    let catch_up = match workload.backlog {
        Some(_) => ran.groups.iter().map(|group| group.catch_up.clone()).collect(),
        None => Vec::new(),
    };
    let verification = (!ran.groups.is_empty())
        .then(|| Verification::new(&ran.ledgers, ran.groups.into_iter().map(|group| group.reader).collect()));
    match &verification {
        Some(verification) => verdict.failed = verification.failures(),
        None => verdict.notes.push("nothing was read, so nothing was verified".to_owned()),
    }
    let total = &ran.merge.total;
    let latency = Latencies {
        put_ack: total.put_ack.distribution(),
        put_ack_actual: total.put_ack_actual.distribution(),
        put_to_get: total.put_to_get.distribution(),
        put_to_get_actual: total.put_to_get_actual.distribution(),
        send_lag: total.send_lag.distribution(),
    };
    RunResult {
        schema: SCHEMA,
        tool_version: env!("CARGO_PKG_VERSION").to_owned(),
        command: setup.command.clone(),
        run_id: setup.run_id,
        started_unix_ms: before.started_unix_ms,
        label: setup.label.clone(),
        workload: workload.clone(),
        target: TargetInfo {
            driver: D::NAME.to_owned(),
            address: describe(&setup.target),
            stream: setup.stream.clone(),
            server: before.info.server,
            durability: before.info.durability,
            settings: before.info.settings,
            started_by_run: before.node.is_some(),
        },
        environment: setup.environment.clone(),
        verdict,
        measured_s,
        put,
        read,
        latency,
        verification,
        series: ran.merge.series.finish(),
        generator,
        node,
        stolen_share,
        catch_up,
        faults: ran.faults,
        changes: None,
    }
}
