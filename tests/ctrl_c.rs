//! Ctrl-C with real signals, in processes of their own: the handling concerns the main thread of a process, which a
//! test harness keeps for itself. So this is a program without one. Started by cargo, it starts itself once or more for each case, told by an
//! environment variable which part to play, and sends signals when that part has printed that it is ready for them.

fn main() {
    #[cfg(unix)]
    unix::main();
    #[cfg(not(unix))]
    println!("there are no signals here, so there is nothing to test");
}

#[cfg(unix)]
mod unix {
    use runtime::{Handle, Runner, Task, catch_cancelled, create_task, current_task, run, sleep, yield_now};
    use std::io::{BufRead, BufReader, Read, Write};
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Child, Command, ExitStatus, Stdio};
    use std::sync::atomic::AtomicBool;
    use std::sync::atomic::Ordering::SeqCst;
    use std::sync::mpsc;
    use std::time::{Duration, Instant};
    use std::{env, mem, panic, ptr, thread};

    /// Says which part this process plays.
    const PART: &str = "RUNTIME_TEST_CTRL_C";

    /// No case takes this long; one that does hangs.
    const TOO_LONG: Duration = Duration::from_secs(600);

    pub(super) fn main() {
        match env::var(PART) {
            Ok(part) => play(&part),
            Err(_) => judge(),
        }
    }

    // The judge.

    /// The cases: a name, and what the judge does.
    const CASES: &[(&str, fn())] = &[
        ("main_is_cancelled_and_the_process_ends_by_the_signal", || {
            for part in ["obeys", "obeys_alone", "attribute"] {
                let mut player = Player::start(part);
                player.interrupt_when("ready");
                let end = player.end();
                assert_eq!(end.status.signal(), Some(libc::SIGINT), "{part}: {end:?}");
                assert_eq!(end.stdout, "main cleaned up\ntask cleaned up\nno newline", "{part}");
                assert_eq!(end.stderr, "", "{part}: not a word");
            }
        }),
        ("a_shell_sees_status_130", || {
            let mut player = Player::start_in_shell("obeys_in_shell");
            let pid = player.expect_prefix("pid ").parse().unwrap();
            player.expect("ready");
            signal(pid);
            let end = player.end();
            assert!(end.stdout.ends_with("status 130\n"), "{end:?}");
        }),
        ("a_main_that_swallows_the_cancellation_returns_its_value", || {
            let mut player = Player::start("swallows");
            player.interrupt_when("ready");
            let end = player.end();
            assert_eq!(end.status.code(), Some(7), "{end:?}");
            assert_eq!(end.stdout, "requests: 1, message: None\n");
        }),
        ("a_main_that_panics_instead_fails_with_the_panic", || {
            let mut player = Player::start("panics");
            player.interrupt_when("ready");
            let end = player.end();
            assert_eq!(end.status.code(), Some(101), "{end:?}");
            assert!(end.stderr.contains("instead"), "{end:?}");
        }),
        ("a_cancellation_that_was_also_somebody_elses_is_a_panic", || {
            let mut player = Player::start("cancelled_twice");
            player.interrupt_when("ready");
            let end = player.end();
            assert_eq!(end.status.code(), Some(101), "{end:?}");
            assert!(end.stderr.contains("the main task was cancelled"), "{end:?}");
        }),
        ("the_second_one_ends_the_process_while_main_cleans_up", || {
            ends_at_once(&mut Player::start("cleans_up_forever"), &["ready", "cleaning up"]);
        }),
        ("the_second_one_ends_the_process_while_main_blocks", || {
            ends_at_once(&mut Player::start("blocks"), &["ready", "requested"]);
        }),
        ("the_second_one_ends_the_process_during_the_shutdown", || {
            ends_at_once(&mut Player::start("shuts_down_forever"), &["ready", "sweeping"]);
        }),
        ("the_first_one_ends_the_process_during_the_shutdown_if_main_is_done", || {
            ends_at_once(&mut Player::start("ends_and_shuts_down_forever"), &["sweeping"]);
        }),
        ("the_first_one_ends_the_process_after_run", || {
            ends_at_once(&mut Player::start("after_run"), &["after"]);
        }),
        ("on_another_thread_nothing_is_installed", || {
            ends_at_once(&mut Player::start("other_thread"), &["ready"]);
        }),
        ("without_interrupt_handling_nothing_is_installed", || {
            for part in ["attribute_without", "runner_without", "test"] {
                ends_at_once(&mut Player::start(part), &["ready"]);
            }
        }),
        ("a_handler_of_the_program_stays_and_is_called", || {
            let mut player = Player::start("own_handler");
            player.interrupt_when("ready");
            assert_eq!(player.end().status.code(), Some(0));
        }),
        ("an_ignored_signal_stays_ignored", || {
            assert_eq!(Player::start("ignored").end().status.code(), Some(0));
        }),
        ("a_handler_installed_meanwhile_stays", || {
            assert_eq!(Player::start("installs").end().status.code(), Some(0));
        }),
        ("a_runner_tells_and_goes_on", || {
            let mut player = Player::start("runner");
            player.interrupt_when("ready 1");
            player.expect("interrupted: true");
            player.expect("interrupted: false");
            player.interrupt_when("ready 2");
            player.expect("interrupted: true");
            assert_eq!(player.end().status.signal(), Some(libc::SIGINT));
        }),
        ("a_runner_that_runs_forever_is_stopped", || {
            let mut player = Player::start("forever");
            player.interrupt_when("ready");
            let end = player.end();
            assert_eq!((end.status.code(), end.stdout.as_str()), (Some(0), "interrupted: true\n"), "{end:?}");
        }),
        ("many_runs_leave_nothing_behind", || {
            let mut player = Player::start("many_runs");
            player.interrupt_when("ready");
            assert_eq!(player.end().status.signal(), Some(libc::SIGINT));
        }),
        ("at_the_end_of_main_it_means_the_one_or_the_other", || {
            for _ in 0..30 {
                let mut player = Player::start("races");
                player.expect("ready");
                let end = player.end();
                let fine = end.status.signal() == Some(libc::SIGINT) || end.status.code() == Some(0);
                assert!(fine && end.stderr.is_empty(), "{end:?}");
            }
        }),
    ];

    /// Sends a signal after each of the lines; the last one ends the process at once.
    #[track_caller]
    fn ends_at_once(player: &mut Player, lines: &[&str]) {
        for line in lines {
            player.interrupt_when(line);
        }
        let end = player.end();
        assert_eq!(end.status.signal(), Some(libc::SIGINT), "{end:?}");
        assert_eq!((end.stdout.as_str(), end.stderr.as_str()), ("", ""));
    }

    /// Runs the cases, those alone whose name contains the first argument if there is one; prints what cargo's harness would.
    fn judge() {
        let filter = env::args().skip(1).find(|arg| !arg.starts_with('-')).unwrap_or_default();
        let cases: Vec<_> = CASES.iter().filter(|(name, _)| name.contains(&filter)).collect();
        if env::args().any(|arg| arg == "--list") {
            cases.iter().for_each(|(name, _)| println!("{name}: test"));
            return;
        }
        println!("\nrunning {} tests", cases.len());
        let start = Instant::now();
        let failed = cases.iter().filter(|(name, case)| {
            let passed = panic::catch_unwind(case).is_ok();
            println!("test {name} ... {}", if passed { "ok" } else { "FAILED" });
            !passed
        });
        let failed = failed.count();
        let passed = cases.len() - failed;
        let seconds = start.elapsed().as_secs_f64();
        let result = if failed == 0 { "ok" } else { "FAILED" };
        println!("\ntest result: {result}. {passed} passed; {failed} failed; finished in {seconds:.2}s\n");
        assert_eq!(failed, 0, "cases failed");
    }

    /// A process that plays a part.
    struct Player {
        child: Child,
        stdout: BufReader<std::process::ChildStdout>,
        /// Keeps the watchdog quiet.
        _quiet: mpsc::Sender<()>,
    }

    /// How a part ended.
    #[derive(Debug)]
    struct End {
        status: ExitStatus,
        /// What it printed after what was read before.
        stdout: String,
        stderr: String,
    }

    impl Player {
        fn start(part: &str) -> Self {
            Self::spawn(part, Command::new(env::current_exe().unwrap()))
        }

        fn start_in_shell(part: &str) -> Self {
            let mut shell = Command::new("sh");
            // The first `echo` ends the line that the part leaves open.
            shell.args(["-c", "\"$0\"; status=$?; echo; echo status $status"]).arg(env::current_exe().unwrap());
            Self::spawn(part, shell)
        }

        fn spawn(part: &str, mut command: Command) -> Self {
            command.env(PART, part).env("RUST_BACKTRACE", "0");
            command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
            let mut child = command.spawn().unwrap();
            let stdout = BufReader::new(child.stdout.take().unwrap());
            let (quiet, watch) = mpsc::channel();
            let pid = child.id() as libc::pid_t;
            thread::spawn(move || {
                if watch.recv_timeout(TOO_LONG) == Err(mpsc::RecvTimeoutError::Timeout) {
                    // SAFETY: a plain call; the process has not been waited for.
                    unsafe { libc::kill(pid, libc::SIGKILL) };
                }
            });
            Self { child, stdout, _quiet: quiet }
        }

        fn line(&mut self) -> String {
            let mut line = String::new();
            self.stdout.read_line(&mut line).unwrap();
            line.trim_end().to_owned()
        }

        #[track_caller]
        fn expect(&mut self, expected: &str) {
            let line = self.line();
            assert_eq!(line, expected);
        }

        #[track_caller]
        fn expect_prefix(&mut self, prefix: &str) -> String {
            let line = self.line();
            line.strip_prefix(prefix).unwrap_or_else(|| panic!("{line:?} begins with {prefix:?}")).to_owned()
        }

        #[track_caller]
        fn interrupt_when(&mut self, line: &str) {
            self.expect(line);
            signal(self.child.id() as libc::pid_t);
        }

        fn end(&mut self) -> End {
            let (mut stdout, mut stderr) = (String::new(), String::new());
            self.stdout.read_to_string(&mut stdout).unwrap();
            self.child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
            End { status: self.child.wait().unwrap(), stdout, stderr }
        }
    }

    fn signal(pid: libc::pid_t) {
        // SAFETY: a plain call on a child that has not been waited for, or on a child of that.
        assert_eq!(unsafe { libc::kill(pid, libc::SIGINT) }, 0);
    }

    // The players.

    fn play(part: &str) {
        // A shell without job control starts its background jobs with the signal ignored.
        set_handler(libc::SIG_DFL);
        match part {
            "obeys" => run(obeys()),
            "obeys_alone" => runtime::__private::main(Runner::builder().workers(1), obeys()),
            "obeys_in_shell" => {
                say(&format!("pid {}", std::process::id()));
                run(obeys());
            }
            "attribute" => attribute(),
            "attribute_without" => attribute_without(),
            "swallows" => std::process::exit(run(swallows())),
            "panics" => run(panics()),
            "cancelled_twice" => run(cancelled_twice()),
            "cleans_up_forever" => run(cleans_up_forever()),
            "blocks" => run(blocks()),
            "shuts_down_forever" => run(shuts_down_forever(true)),
            "ends_and_shuts_down_forever" => run(shuts_down_forever(false)),
            "after_run" => after_run(),
            "other_thread" => thread::spawn(|| run(waits("ready"))).join().unwrap(),
            "runner_without" => drop(Runner::builder().build().unwrap().run(waits("ready"))),
            "test" => runtime::__private::test(Runner::builder(), waits("ready")),
            "own_handler" => own_handler(),
            "ignored" => ignored(),
            "installs" => installs(),
            "runner" => runner(),
            "forever" => forever(),
            "many_runs" => many_runs(),
            "races" => races(),
            other => panic!("there is no part {other:?}"),
        }
    }

    /// Prints a line at once, also into a pipe.
    fn say(line: &str) {
        println!("{line}");
        std::io::stdout().flush().unwrap();
    }

    /// Says that it is ready, and waits.
    async fn waits(line: &str) {
        say(line);
        sleep(Duration::MAX).await;
    }

    /// Cleans up when it is cancelled; so does a task of its.
    async fn obeys() {
        let task: Task<()> = create_task(async {
            let error = catch_cancelled(sleep(Duration::MAX)).await.unwrap_err();
            yield_now().await;
            println!("task cleaned up");
            print!("no newline");
            error.reraise().await
        });
        yield_now().await;
        let error = catch_cancelled(waits("ready")).await.unwrap_err();
        sleep(Duration::from_millis(1)).await;
        assert!(!task.done());
        println!("main cleaned up");
        error.reraise().await
    }

    #[runtime::main]
    async fn attribute() {
        obeys().await;
    }

    #[runtime::main(handle_interrupts = false)]
    async fn attribute_without() {
        waits("ready").await;
    }

    async fn swallows() -> i32 {
        let error = catch_cancelled(waits("ready")).await.unwrap_err();
        yield_now().await;
        println!("requests: {}, message: {:?}", current_task().unwrap().cancelling(), error.message());
        7
    }

    async fn panics() {
        catch_cancelled(waits("ready")).await.unwrap_err();
        panic!("instead");
    }

    async fn cancelled_twice() {
        let error = catch_cancelled(waits("ready")).await.unwrap_err();
        current_task().unwrap().cancel();
        error.reraise().await
    }

    async fn cleans_up_forever() {
        catch_cancelled(waits("ready")).await.unwrap_err();
        waits("cleaning up").await;
    }

    async fn blocks() {
        say("ready");
        let main = current_task().unwrap();
        while main.cancelling() == 0 {
            thread::yield_now();
        }
        say("requested");
        loop {
            thread::park();
        }
    }

    /// A task of main's holds the shutdown up.
    async fn shuts_down_forever(wait: bool) {
        let task = async {
            let _ = catch_cancelled(sleep(Duration::MAX)).await;
            waits("sweeping").await;
        };
        drop(create_task(task));
        yield_now().await;
        if wait {
            waits("ready").await;
        }
    }

    fn after_run() {
        run(async {});
        assert_eq!(handler(), libc::SIG_DFL);
        say("after");
        loop {
            thread::park();
        }
    }

    static INTERRUPTED: AtomicBool = AtomicBool::new(false);

    extern "C" fn note(_signal: libc::c_int) {
        INTERRUPTED.store(true, SeqCst);
    }

    fn note_address() -> libc::sighandler_t {
        note as extern "C" fn(libc::c_int) as *const () as libc::sighandler_t
    }

    fn set_handler(handler: libc::sighandler_t) {
        // SAFETY: `note`, which may run at any time, or a constant.
        unsafe { libc::signal(libc::SIGINT, handler) };
    }

    fn handler() -> libc::sighandler_t {
        // SAFETY: all fields may be zero, and the call writes one such structure.
        unsafe {
            let mut action: libc::sigaction = mem::zeroed();
            assert_eq!(libc::sigaction(libc::SIGINT, ptr::null(), &raw mut action), 0);
            action.sa_sigaction
        }
    }

    fn own_handler() {
        set_handler(note_address());
        let requests = run(async {
            say("ready");
            while !INTERRUPTED.load(SeqCst) {
                yield_now().await;
            }
            current_task().unwrap().cancelling()
        });
        assert_eq!(requests, 0);
        assert_eq!(handler(), note_address());
    }

    fn ignored() {
        set_handler(libc::SIG_IGN);
        run(async {
            // SAFETY: a plain call.
            unsafe { libc::raise(libc::SIGINT) };
            yield_now().await;
        });
        assert_eq!(handler(), libc::SIG_IGN);
    }

    fn installs() {
        run(async {
            assert_ne!(handler(), libc::SIG_DFL, "ours is installed");
            set_handler(note_address());
        });
        assert_eq!(handler(), note_address());
    }

    fn runner() {
        let runner = Runner::builder().handle_interrupts(true).build().unwrap();
        assert!(runner.run(waits("ready 1")).unwrap_err().message().is_none());
        say(&format!("interrupted: {}", runner.interrupted()));
        runner.run(yield_now()).unwrap();
        say(&format!("interrupted: {}", runner.interrupted()));
        runner.run(waits("ready 2")).unwrap_err();
        say(&format!("interrupted: {}", runner.interrupted()));
        runner.end_interrupted()
    }

    fn forever() {
        // With more workers it could be ready before it is run.
        let runner = Runner::builder().workers(1).handle_interrupts(true).build().unwrap();
        runner.handle().call_soon(|| say("ready"));
        runner.run_forever();
        assert!(!runner.handle().is_closed());
        say(&format!("interrupted: {}", runner.interrupted()));
    }

    fn many_runs() {
        let runner = Runner::builder().workers(1).handle_interrupts(true).build().unwrap();
        for _ in 0..200 {
            runner.run(yield_now()).unwrap();
            assert_eq!(handler(), libc::SIG_DFL);
        }
        runner.close();
        run(waits("ready"));
    }

    /// The signal comes from another thread, at the time when main ends.
    fn races() {
        let (go, wait) = mpsc::channel();
        let sender = thread::spawn(move || {
            wait.recv().unwrap();
            // SAFETY: plain calls.
            unsafe { libc::kill(libc::getpid(), libc::SIGINT) };
        });
        run(async move {
            say("ready");
            go.send(()).unwrap();
            for _ in 0..std::process::id() % 7 {
                yield_now().await;
            }
            assert!(Handle::try_current().is_some());
        });
        sender.join().unwrap();
    }
}
