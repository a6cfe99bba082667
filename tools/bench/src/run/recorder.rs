//! What one thread records, and hands over slice by slice.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::mpsc::Sender;

use super::control::{Control, Times};
use super::{Message, Slice};
use crate::clock::{now_ns, thread_cpu_ns};
use crate::pace::Pacer;

/// The slice of one thread that is being filled.
#[derive(Debug)]
pub struct Recorder {
    control: Arc<Control>,
    /// Filled by whoever measures.
    pub slice: Slice,
    /// In a closed loop a record is intended when it is sent: both latencies are one, and only the first is recorded.
    pub is_closed: bool,
    /// CPU time of this thread in the measured time so far.
    pub cpu_ns: f64,
    cpu_before_ns: u64,
}

impl Recorder {
    /// A recorder for the calling thread.
    #[must_use]
    pub fn new(control: Arc<Control>, is_closed: bool) -> Rc<RefCell<Self>> {
        Rc::new(RefCell::new(Self { control, slice: Slice::default(), is_closed, cpu_ns: 0.0, cpu_before_ns: 0 }))
    }

    /// The load begins: nothing before counts.
    pub fn begin(&mut self, times: Times) {
        self.slice = Slice { start_ns: times.start_ns, ..Slice::default() };
        self.cpu_before_ns = thread_cpu_ns();
    }

    /// Ends the slice.
    pub fn take(&mut self, times: Times) -> Slice {
        let (now, cpu) = (now_ns(), thread_cpu_ns());
        let mut slice = std::mem::take(&mut self.slice);
        self.slice.start_ns = now;
        slice.end_ns = now;
        if self.is_closed {
            slice.put_ack_actual = slice.put_ack.clone();
            slice.put_to_get_actual = slice.put_to_get.clone();
        }
        slice.warmup = slice.start_ns < times.measure_ns;
        // A slice that reaches out of the measured time counts with its part in it.
        let from = slice.start_ns.max(times.measure_ns);
        let inside = now.min(self.control.end_ns()).saturating_sub(from);
        let length = now.saturating_sub(slice.start_ns).max(1);
        self.cpu_ns += (cpu - self.cpu_before_ns) as f64 * inside as f64 / length as f64;
        self.cpu_before_ns = cpu;
        slice
    }
}

/// The end of the slice that `now` lies in. Slices are cut at the start of the measured time and at its end.
pub(super) fn slice_end(times: Times, end_ns: u64, now: u64) -> u64 {
    let step = times.interval_ns;
    let regular = if now < times.measure_ns {
        times.measure_ns - (times.measure_ns - now - 1) / step * step
    } else {
        times.measure_ns + ((now - times.measure_ns) / step + 1) * step
    };
    if (now..regular).contains(&end_ns) && end_ns > now { end_ns } else { regular }
}

/// Sends each slice when it is over. Never ends by itself.
pub(super) async fn cut_slices(
    recorder: Rc<RefCell<Recorder>>,
    control: Arc<Control>,
    times: Times,
    thread: usize,
    to: Sender<(usize, Message)>,
) -> std::io::Result<()> {
    let pacer = Pacer::new()?;
    loop {
        // Interrupted, the end comes earlier than this slice's: the next cut is late then, and nothing is lost by it.
        pacer.until(slice_end(times, control.end_ns(), now_ns())).await?;
        let slice = recorder.borrow_mut().take(times);
        // Nobody listens any more: the run is over.
        if to.send((thread, Message::Slice(Box::new(slice)))).is_err() {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Goal: slices are cut at the start and at the end of the measured time, whatever their length.
    #[test]
    fn slices_are_cut_where_measuring_starts_and_ends() {
        let times = Times { start_ns: 1_000, measure_ns: 1_250, interval_ns: 100 };
        let mut cuts = Vec::new();
        let mut now = times.start_ns;
        while now < 1_600 {
            now = slice_end(times, 1_510, now);
            cuts.push(now);
        }
        assert_eq!(cuts, [1_050, 1_150, 1_250, 1_350, 1_450, 1_510, 1_550, 1_650]);
    }
}
