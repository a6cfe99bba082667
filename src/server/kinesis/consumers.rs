//! Registered consumers.

use std::collections::BTreeMap;

use super::call::{Call, Reply, invalid};
use super::streams::{count, is_created_at, tags};
use crate::catalog::{Consumer, Stream};
use crate::kinesis::arn::ConsumerArn;
use crate::kinesis::error::Error;
use crate::kinesis::input::Input;
use crate::kinesis::output::Fields;
use crate::kinesis::token::Page;
use crate::runtime::Runtime;
use crate::server::mail::{AdminDone, AdminOp};

/// Consumers on one page, whatever was asked for.
const LIST_CONSUMERS_MAX: usize = 100;

/// Where a consumer is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Creating,
    Active,
    Deleting,
}

impl Shown {
    pub(super) const fn is_active(self) -> bool {
        matches!(self, Self::Active)
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Creating => "CREATING",
            Self::Active => "ACTIVE",
            Self::Deleting => "DELETING",
        }
    }
}

/// The consumer that a request names.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named<'i> {
    pub(super) stream: &'i str,
    pub(super) name: &'i str,
    /// When it was registered, if the request says that.
    pub(super) created_s: Option<u64>,
}

impl<R: Runtime> Call<'_, R> {
    /// The consumer that an ARN names.
    pub(super) fn named_consumer<'i>(&self, arn: &'i str) -> Result<Named<'i>, Error> {
        let ConsumerArn { stream, name, created_s } =
            ConsumerArn::parse(arn).ok_or_else(|| invalid(format!("{arn} is not the ARN of a consumer.")))?;
        self.check_account(&stream)?;
        self.allow(stream.name)?;
        Ok(Named { stream: stream.name, name, created_s: Some(created_s) })
    }

    /// The consumer of a request that has `ConsumerARN`, or `StreamARN` and `ConsumerName`.
    fn consumer_of<'i>(&self, input: &'i Input<'_>) -> Result<Named<'i>, Error> {
        if let Some(arn) = input.str("ConsumerARN") {
            return self.named_consumer(arn);
        }
        let (Some(_), Some(name)) = (input.str("StreamARN"), input.str("ConsumerName")) else {
            return Err(invalid("Either ConsumerARN or both StreamARN and ConsumerName must be provided."));
        };
        Ok(Named { stream: self.named_by_arn(input)?, name, created_s: None })
    }

    /// Looks at a consumer and how it shows.
    pub(super) fn see_consumer<T>(
        &self,
        named: &Named<'_>,
        look: impl FnOnce(&Stream, &Consumer, Shown) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let now = self.now();
        self.see(named.stream, |stream, _| {
            let is_meant = |consumer: &Consumer| named.created_s.is_none_or(|at| consumer.created.second() == at);
            if let Some(consumer) = stream.consumer_by_name(named.name).filter(|consumer| is_meant(consumer)) {
                return look(stream, consumer, self.shown(consumer));
            }
            match self.front.passing.deregistered(stream.id, named.name, now).filter(|gone| is_meant(gone)) {
                Some(gone) => look(stream, &gone, Shown::Deleting),
                None => Err(self.about(named.stream).no_consumer(named.name)),
            }
        })
    }

    fn shown(&self, consumer: &Consumer) -> Shown {
        if self.front.passing.is_fresh(consumer.created, self.now()) { Shown::Creating } else { Shown::Active }
    }

    fn write_consumer(&self, out: &mut Fields<'_>, stream: &str, consumer: &Consumer, shown: Shown) {
        out.str("ConsumerName", &consumer.name);
        out.display("ConsumerARN", self.consumer_arn(stream, consumer));
        out.str("ConsumerStatus", shown.name());
        out.time("ConsumerCreationTimestamp", consumer.created);
    }

    pub(super) async fn register_consumer(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let stream = self.named_by_arn(input)?;
        let name = input.str("ConsumerName").unwrap_or_default();
        let about = self.about(stream).consumer(name);
        self.see(stream, |found, status| {
            if !status.is_serving() {
                return Err(about.not_active(status));
            }
            match self.front.passing.deregistered(found.id, name, self.now()) {
                Some(_) => Err(about.consumer_exists(name)),
                None => Ok(()),
            }
        })?;
        let op = AdminOp::Register { name: stream.to_owned(), consumer: name.to_owned(), tags: tags(input)? };
        let AdminDone::Registered { consumer, .. } = self.admin(op, &about).await? else {
            unreachable!("a registration is answered as one")
        };
        self.answer(|out| {
            out.structure("Consumer", |out| self.write_consumer(out, stream, &consumer, self.shown(&consumer)));
        })
    }

    pub(super) async fn deregister_consumer(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let named = self.consumer_of(input)?;
        let shown = self.see_consumer(&named, |_, _, shown| Ok(shown))?;
        if shown != Shown::Deleting {
            let op = AdminOp::Deregister { name: named.stream.to_owned(), consumer: named.name.to_owned() };
            self.admin(op, &self.about(named.stream).consumer(named.name)).await?;
        }
        Ok(Reply::Void)
    }

    pub(super) fn describe_consumer(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let named = self.consumer_of(input)?;
        self.see_consumer(&named, |stream, consumer, shown| {
            self.answer(|out| {
                out.structure("ConsumerDescription", |out| {
                    self.write_consumer(out, &stream.name, consumer, shown);
                    out.display("StreamARN", self.arn(&stream.name));
                });
            })
        })
    }

    pub(super) fn list_consumers(&self, input: &Input<'_>) -> Result<Reply, Error> {
        let name = self.named_by_arn(input)?;
        let now = self.now();
        let limit = input.int("MaxResults").map_or(LIST_CONSUMERS_MAX, count).min(LIST_CONSUMERS_MAX);
        let page = input.str("NextToken").map(|token| self.front.sealer.open_page(token, now)).transpose()?;
        self.see(name, |stream, status| {
            if !status.is_serving() {
                return Err(self.about(name).not_active(status));
            }
            if let Some(ms) = input.time_ms("StreamCreationTimestamp")
                && !is_created_at(stream.created, ms)
            {
                return Err(self.about(name).no_stream());
            }
            let after = match page {
                None => None,
                Some(Page::Consumers { stream: of, after }) if of == stream.id => Some(after),
                Some(_) => return Err(invalid("Invalid NextToken.")),
            };
            let gone = self.front.passing.all_deregistered(stream.id, now);
            let gone = gone.iter().map(|consumer| (consumer.name.as_str(), (&**consumer, Shown::Deleting)));
            let mut all: BTreeMap<_, _> = gone.collect();
            all.extend(stream.consumers().map(|consumer| (consumer.name.as_str(), (consumer, self.shown(consumer)))));
            let rest = all.into_values().filter(|(it, _)| after.as_ref().is_none_or(|after| it.name > *after));
            let mut consumers: Vec<_> = rest.take(limit + 1).collect();
            let more = consumers.len() > limit;
            consumers.truncate(limit);
            self.answer(|out| {
                out.structures("Consumers", &consumers, |out, (consumer, shown)| {
                    self.write_consumer(out, name, consumer, *shown);
                });
                if let Some((last, _)) = consumers.last().filter(|_| more) {
                    let page = Page::Consumers { stream: stream.id, after: last.name.clone() };
                    out.str("NextToken", &self.front.sealer.page(&page, now));
                }
            })
        })
    }
}
