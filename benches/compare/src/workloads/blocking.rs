//! Closures on blocking threads.

use crate::countdown::Countdown;
use crate::floor::pool::Pool;
use crate::measure::{Config, Outcome, repeat, repeat_blocking};
use crate::rt::Rt;
use crate::workloads::foreign::call_floor;
use crate::workloads::{Row, drive, runs, times};

pub const ROWS: &[Row] = &[
    Row {
        id: "blocking/sequential",
        about: "a task awaits to_thread of nothing, one after another; per call",
        floor: "one thread with a queue of boxed closures; the caller parks",
        metrics: times!(0.5),
        min_workers: 1,
        run: runs!(sequential, floor_sequential),
    },
    Row {
        id: "blocking/burst20k",
        about: "a task starts 20k to_thread of nothing, then awaits all; per call",
        floor: "one thread with a queue of boxed closures; the caller awaits a counter",
        metrics: times!(0.3),
        min_workers: 1,
        run: runs!(burst, floor_burst),
    },
];

fn sequential<R: Rt>(config: &Config) -> Outcome {
    let calls = config.size(2000);
    let once = move || async move {
        for number in 0..calls {
            assert_eq!(R::to_thread(move || number).await, number);
        }
    };
    drive::<R, _>(config, repeat(config.reps(6), calls, once))
}

fn floor_sequential(config: &Config) -> Outcome {
    let calls = config.size(2000);
    let pool = Pool::new(1);
    repeat_blocking(config.reps(6), calls, || {
        (0..calls).for_each(|number| assert_eq!(call_floor(&pool, number), number));
    })
}

fn burst<R: Rt>(config: &Config) -> Outcome {
    let calls = config.size(20_000);
    let once = move || async move {
        let jobs: Vec<_> = (0..calls).map(|_| R::to_thread(|| 1)).collect();
        let mut ended = 0;
        for job in jobs {
            ended += job.await;
        }
        assert_eq!(ended, calls);
    };
    drive::<R, _>(config, repeat(config.reps(6), calls, once))
}

static LEFT: Countdown = Countdown::new();

fn floor_burst(config: &Config) -> Outcome {
    let calls = config.size(20_000);
    let pool = Pool::new(1);
    repeat_blocking(config.reps(6), calls, || {
        LEFT.reset(calls);
        (0..calls).for_each(|_| pool.submit(Box::new(|| LEFT.down())));
        futures_lite::future::block_on(LEFT.wait());
    })
}
