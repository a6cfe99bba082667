//! One request: whom it is about, what it may do, how it is answered.

use std::rc::Rc;
use std::time::Duration;

use super::Front;
use super::failure::{self, About};
use crate::catalog::{Consumer, Status, Stream};
use crate::engine::read::ReadError;
use crate::engine::shard::PositionError;
use crate::kinesis::Encoding;
use crate::kinesis::access::Principal;
use crate::kinesis::arn::{Arn, ConsumerArn, StreamArn};
use crate::kinesis::error::{Code, Error};
use crate::kinesis::input::Input;
use crate::kinesis::model::Operation;
use crate::kinesis::output::{Fields, Output};
use crate::runtime::Runtime;
use crate::server::failure::Failure;
use crate::server::http::{Body, Turns};
use crate::server::mail::{AdminDone, AdminOp};
use crate::server::worker::Worker;
use crate::types::{ShardNumber, WallUs};

/// How long a client waits for a shard that is neither here nor gone, and the pause between two looks.
const AWAY_MS_MAX: u64 = 5_000;
const AWAY_PAUSE_MS: u64 = 20;

fn is_away(failure: &Failure) -> bool {
    matches!(
        failure,
        Failure::ShardMoving(_)
            | Failure::Read(ReadError::Away)
            | Failure::Position(PositionError::Read(ReadError::Away))
    )
}

/// One request under way.
pub struct Call<'a, R: Runtime> {
    /// The worker that took it.
    pub worker: &'a Rc<Worker<R>>,
    /// The worker's side of the API.
    pub front: &'a Front,
    /// What is asked for.
    pub operation: &'static Operation,
    /// How request and answer are written.
    pub encoding: Encoding,
    /// The region that ARNs in the answer name.
    pub region: &'a str,
    /// Who sent it; `None` while access is open.
    pub principal: Option<Principal>,
    /// The connection's turns to make large answers.
    pub turns: &'a Turns,
}

/// How a request is answered, if it is not refused.
#[derive(Debug)]
pub enum Reply {
    /// Without a body.
    Void,
    /// With a structure.
    Body(Vec<u8>),
    /// With events.
    Events(Body),
}

/// `InvalidArgumentException`.
pub(super) fn invalid(text: impl Into<String>) -> Error {
    Error::new(Code::InvalidArgumentException, text)
}

/// The shard that a client names: `shardId-000000000007`, and also `shardId-7` or `7`, as AWS takes it.
pub(super) fn shard_number(text: &str) -> Option<ShardNumber> {
    let digits = match text.split_once('-') {
        Some((_, digits)) => digits,
        None => text,
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u32 = digits.parse().ok().filter(|_| is_number)?;
    (number <= i32::MAX as u32).then_some(ShardNumber(number))
}

impl<'a, R: Runtime> Call<'a, R> {
    pub(super) fn now(&self) -> WallUs {
        self.worker.rt.wall()
    }

    pub(super) fn account(&self) -> &'a str {
        &self.front.account
    }

    pub(super) fn about<'s>(&self, stream: &'s str) -> About<'s>
    where
        'a: 's,
    {
        About::stream(&self.front.account, stream)
    }

    pub(super) fn arn<'s>(&self, stream: &'s str) -> StreamArn<'s>
    where
        'a: 's,
    {
        StreamArn::new(self.region, &self.front.account, stream)
    }

    pub(super) fn consumer_arn<'s>(&self, stream: &'s str, consumer: &'s Consumer) -> ConsumerArn<'s>
    where
        'a: 's,
    {
        ConsumerArn { stream: self.arn(stream), name: &consumer.name, created_s: consumer.created.second() }
    }

    /// Answers with a structure.
    pub(super) fn answer(&self, write: impl FnOnce(&mut Fields<'_>)) -> Result<Reply, Error> {
        Ok(Reply::Body(Output::answer(self.operation, self.encoding, write)))
    }

    /// The stream's name, of a request that has `StreamName` and `StreamARN`.
    pub(super) fn named<'i>(&self, input: &'i Input<'_>) -> Result<&'i str, Error> {
        self.name_of(input.str("StreamName"), input.str("StreamARN"))
    }

    /// The stream's name, of a request that has `StreamARN` alone.
    pub(super) fn named_by_arn<'i>(&self, input: &'i Input<'_>) -> Result<&'i str, Error> {
        self.name_of(None, input.str("StreamARN"))
    }

    /// The name of the stream that is named by one, or by both in agreement.
    pub(super) fn name_of<'i>(&self, name: Option<&'i str>, arn: Option<&'i str>) -> Result<&'i str, Error> {
        let by_arn = arn.map(|arn| self.own_stream(arn)).transpose()?;
        match (name, by_arn) {
            (Some(name), Some(by_arn)) if name != by_arn => {
                Err(invalid(format!("StreamName {name} and StreamARN {} name different streams.", arn.unwrap_or(""))))
            }
            (Some(name), _) | (None, Some(name)) => self.allow(name).map(|()| name),
            (None, None) => Err(invalid("Either StreamName or StreamARN must be provided.")),
        }
    }

    /// The name in the ARN of a stream of this account.
    fn own_stream<'i>(&self, arn: &'i str) -> Result<&'i str, Error> {
        let parsed = StreamArn::parse(arn).ok_or_else(|| invalid(format!("{arn} is not the ARN of a stream.")))?;
        self.check_account(&parsed).map(|()| parsed.name)
    }

    pub(super) fn check_account(&self, arn: &StreamArn<'_>) -> Result<(), Error> {
        if arn.account == self.account() {
            return Ok(());
        }
        Err(About::stream(arn.account, arn.name).no_stream())
    }

    /// What a `ResourceARN` names.
    pub(super) fn resource<'i>(&self, input: &'i Input<'_>) -> Result<Arn<'i>, Error> {
        let text = input.str("ResourceARN").unwrap_or_default();
        // The model allows those of queues and channels, of which there are none.
        let not_found = || Error::new(Code::ResourceNotFoundException, format!("Resource {text} not found."));
        let arn = Arn::parse(text).ok_or_else(not_found)?;
        self.check_account(arn.stream())?;
        self.allow(arn.stream().name)?;
        Ok(arn)
    }

    /// Whether the caller may do this with the stream.
    pub(super) fn allow(&self, stream: &str) -> Result<(), Error> {
        match &self.principal {
            None => Ok(()),
            Some(principal) => {
                principal.check(self.account(), self.operation.name, Some(&Arn::Stream(self.arn(stream))))
            }
        }
    }

    /// Whether the caller may do this, which concerns no one stream.
    pub(super) fn allow_all(&self) -> Result<(), Error> {
        self.principal.as_ref().map_or(Ok(()), |it| it.check(self.account(), self.operation.name, None))
    }

    /// Looks at a stream, whatever its status, which is given as it shows.
    pub(super) fn see<T>(
        &self,
        name: &str,
        look: impl FnOnce(&Stream, Status) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.now();
        let catalog = self.worker.catalog.borrow();
        if let Some(stream) = catalog.stream_by_name(name) {
            return look(stream, self.front.passing.status(stream, now));
        }
        let deleted = self.front.passing.deleted(name, now).ok_or_else(|| self.about(name).no_stream())?;
        look(&deleted, Status::Deleting)
    }

    /// Looks at a stream that takes puts and reads. To who asks for records, others do not exist.
    pub(super) fn see_serving<T>(
        &self,
        name: &str,
        look: impl FnOnce(&Stream) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.see(name, |stream, status| match status.is_serving() {
            true => look(stream),
            false => Err(self.about(name).no_stream()),
        })
    }

    /// Looks at a stream that is to be changed, which must be active.
    pub(super) fn see_active<T>(&self, name: &str, look: impl FnOnce(&Stream) -> Result<T, Error>) -> Result<T, Error> {
        self.see(name, |stream, status| {
            self.check_active(name, status)?;
            look(stream)
        })
    }

    pub(super) fn check_active(&self, name: &str, status: Status) -> Result<(), Error> {
        if status == Status::Active { Ok(()) } else { Err(self.about(name).not_active(status)) }
    }

    /// Changes the catalogue.
    pub(super) async fn admin(&self, op: AdminOp, about: &About<'_>) -> Result<AdminDone, Error> {
        self.worker.admin(op).await.map_err(|failure| self.error(&failure, about))
    }

    /// Tries again while a shard is on its way from one worker to another, or its log is opened again.
    pub(super) async fn patiently<T>(
        &self,
        mut attempt: impl AsyncFnMut() -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let rt = &self.worker.rt;
        let deadline = rt.now().plus(AWAY_MS_MAX * 1_000);
        loop {
            match attempt().await {
                Err(failure) if is_away(&failure) && rt.now() < deadline && !self.worker.is_draining() => {
                    rt.sleep(Duration::from_millis(AWAY_PAUSE_MS)).await;
                }
                result => return result,
            }
        }
    }

    pub(super) fn error(&self, failure: &Failure, about: &About<'_>) -> Error {
        let error = failure::error(failure, about);
        if error.code.status() >= 500 {
            tracing::warn!(operation = self.operation.name, stream = about.stream, %failure, "a request failed");
        }
        error
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: shards can be named as AWS lets them be named, and nothing else passes for one.
    #[test]
    fn names_of_shards() {
        for text in ["shardId-000000000007", "shardId-7", "7", "x-000000000007", "007"] {
            assert_eq!(shard_number(text), Some(ShardNumber(7)), "{text}");
        }
        assert_eq!(shard_number("shardId-000002147483647"), Some(ShardNumber(2_147_483_647)));
        for text in
            ["", "shardId-", "shardId", "shardId-2147483648", "shardId--1", "+7", "-7x", "shardId-99999999999999"]
        {
            assert_eq!(shard_number(text), None, "{text}");
        }
    }
}
