//! Settings of streams.

use super::call::{Call, Reply, invalid};
use super::streams::{distribution, kib, mode, switched, write_warm_throughput};
use crate::catalog::{Mode, SettingsChange};
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::limits::{RETENTION_HOURS_MAX, RETENTION_HOURS_MIN};
use crate::runtime::Runtime;
use crate::server::mail::AdminOp;

impl<R: Runtime> Call<'_, R> {
    /// Changes settings of an active stream.
    async fn change(&self, name: &str, change: SettingsChange) -> Result<Reply, Error> {
        if !change.is_empty() {
            self.admin(AdminOp::Update { name: name.to_owned(), change }, &self.about(name)).await?;
        }
        Ok(Reply::Void)
    }

    pub(super) async fn increase_retention(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let hours = input.int("RetentionPeriodHours").unwrap_or_default();
        let have = self.see_active(name, |stream| Ok(stream.settings.retention_hours))?;
        let hours = in_range(hours)?;
        if hours <= have {
            return Err(invalid(format!(
                "Requested retention period ({hours} hours) for stream {name} can not be shorter than existing retention \
                 period ({have} hours). Use DecreaseRetentionPeriod API."
            )));
        }
        self.change(name, SettingsChange { retention_hours: Some(hours), ..SettingsChange::default() }).await
    }

    pub(super) async fn decrease_retention(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let hours = input.int("RetentionPeriodHours").unwrap_or_default();
        let have = self.see_active(name, |stream| Ok(stream.settings.retention_hours))?;
        let hours = in_range(hours)?;
        if hours >= have {
            return Err(invalid(format!(
                "Requested retention period ({hours} hours) for stream {name} can not be longer than existing retention \
                 period ({have} hours). Use IncreaseRetentionPeriod API."
            )));
        }
        self.change(name, SettingsChange { retention_hours: Some(hours), ..SettingsChange::default() }).await
    }

    pub(super) async fn update_max_record_size(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named_by_arn(input)?;
        self.see_active(name, |_| Ok(()))?;
        let bytes = input.int("MaxRecordSizeInKiB").map(kib);
        self.change(name, SettingsChange { record_bytes_max: bytes, ..SettingsChange::default() }).await
    }

    pub(super) async fn update_mode(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named_by_arn(input)?;
        let have = self.see_active(name, |stream| Ok(stream.settings.mode))?;
        let wanted = mode(input).unwrap_or(have);
        let warm = input.int("WarmThroughputMiBps").map(|mib| u32::try_from(mib).unwrap_or(u32::MAX));
        if warm.is_some_and(|mib| mib > 0) {
            if wanted == Mode::Provisioned {
                return Err(invalid("WarmThroughputMiBps can be set for streams in ON_DEMAND mode only."));
            }
            self.check_commitment().await?;
        }
        let warm = warm.filter(|_| wanted.is_on_demand());
        let change =
            SettingsChange { mode: switched(wanted, have), warm_throughput_mib: warm, ..SettingsChange::default() };
        self.change(name, change).await
    }

    pub(super) async fn update_warm_throughput(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named(input)?;
        let is_on_demand = self.see_active(name, |stream| Ok(stream.settings.mode.is_on_demand()))?;
        if !is_on_demand {
            let text =
                format!("Request is invalid. Stream {name} under account {} is in Provisioned mode.", self.account());
            return Err(Error::new(Code::ValidationException, text));
        }
        let mib = input.int("WarmThroughputMiBps").map(|mib| u32::try_from(mib).unwrap_or(u32::MAX));
        if mib.is_some_and(|mib| mib > 0) {
            self.check_commitment().await?;
        }
        self.change(name, SettingsChange { warm_throughput_mib: mib, ..SettingsChange::default() }).await?;
        self.see(name, |stream, _| {
            self.answer(|out| {
                out.display("StreamARN", self.arn(name));
                out.str("StreamName", name);
                write_warm_throughput(out, stream);
            })
        })
    }

    pub(super) async fn update_distribution(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named_by_arn(input)?;
        self.see_active(name, |_| Ok(()))?;
        self.change(name, SettingsChange { distribution: distribution(input), ..SettingsChange::default() }).await
    }
}

fn in_range(hours: i64) -> Result<u32, Error> {
    let (word, bound, verdict) = if hours < i64::from(RETENTION_HOURS_MIN) {
        ("Minimum", RETENTION_HOURS_MIN, "short")
    } else if hours > i64::from(RETENTION_HOURS_MAX) {
        ("Maximum", RETENTION_HOURS_MAX, "long")
    } else {
        return Ok(u32::try_from(hours).expect("it is in range"));
    };
    Err(invalid(format!(
        "{word} allowed retention period is {bound} hours. Requested retention period ({hours} hours) is too {verdict}."
    )))
}
