//! `tower`: services and layers.

use crate::support::{Count, ms, until_cancelled};
use async_compat::CompatExt;
use runtime::{TimeoutError, create_task, gather, sleep, timeout};
use std::convert::Infallible;
use std::time::Duration;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};

/// A timeout of ours around any service. Unlike `tower::timeout` it cancels, and waits for the clean-up.
fn with_timeout<S, R>(
    limit: Duration,
    service: S,
) -> impl Service<R, Response = S::Response, Error = BoxError, Future: Send> + Clone
where
    S: Service<R, Error: Into<BoxError>, Future: Send> + Clone,
    BoxError: From<S::Error>,
{
    ServiceBuilder::new().map_future(move |future| async move { Ok(timeout(limit, future).await??) }).service(service)
}

#[runtime::test(virtual_time)]
async fn a_timeout_of_ours_cancels_the_service_and_waits_for_its_clean_up() {
    let cleaned_up = Count::default();
    let counted = cleaned_up.clone();
    let service = service_fn(move |wait: Duration| {
        let counted = counted.clone();
        async move {
            if wait == Duration::MAX {
                until_cancelled(counted).await;
            }
            sleep(wait).await;
            Ok::<_, Infallible>("answered")
        }
    });
    let service = with_timeout(ms(100), service);
    assert_eq!(service.clone().oneshot(ms(10)).await.unwrap(), "answered");
    assert!(service.oneshot(Duration::MAX).await.unwrap_err().is::<TimeoutError>());
    assert_eq!(cleaned_up.get(), 1);
}

#[runtime::test(virtual_time)]
async fn a_limit_on_concurrency_holds() {
    let (inside, most) = (Count::default(), Count::default());
    let (counted, seen) = (inside.clone(), most.clone());
    let service = ServiceBuilder::new().concurrency_limit(3).service(service_fn(move |job: u64| {
        let (inside, most) = (counted.clone(), seen.clone());
        async move {
            if inside.up() > most.get() {
                most.up();
            }
            sleep(ms(job)).await;
            inside.down();
            Ok::<_, Infallible>(job)
        }
    }));
    let answers = gather((1..=20).map(|job| service.clone().oneshot(job))).await;
    assert!(answers.into_iter().eq((1..=20).map(Ok)));
    assert_eq!(most.get(), 3);
}

/// tower's own timeout waits with Tokio's timer: it needs a Tokio around it, which `async-compat` gives.
#[runtime::test]
async fn its_own_timeout_needs_compat() {
    let forever = || service_fn(async |()| Ok::<u32, Infallible>(std::future::pending().await));
    let bare = ServiceBuilder::new().timeout(ms(1)).service(forever());
    assert!(create_task(bare.oneshot(())).await.unwrap_err().is_panicked());
    let compat = ServiceBuilder::new().timeout(ms(1)).service(forever());
    assert!(create_task(compat.oneshot(()).compat()).await.unwrap().is_err());
}
