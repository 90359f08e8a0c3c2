;; wasi_snapshot_preview1 for policies, which have no files, no network, no environment and no clock: what a runtime
;; calls by itself gets an answer, everything else the error "bad file descriptor". What is written, a panic's message
;; mostly, goes to the proxy's log, line by line. Works on the module's memory and has none of its own.
(module
  (import "howdah:policy/log@0.1.0" "write" (func $log (param i32 i32 i32)))
  (import "env" "memory" (memory 0))

  ;; Moves by a microsecond with every look: some runtimes refuse a clock that stands still.
  (global $now (mut i64) (i64.const 1000000000))
  (global $seed (mut i64) (i64.const 88172645463325252))
  ;; The line that is being written lies below the module's data, where Go leaves 12 KiB free.
  (global $length (mut i32) (i32.const 0))

  (func $end_line
    (if (global.get $length)
      (then
        (call $log (i32.const 4) (i32.const 4096) (global.get $length))
        (global.set $length (i32.const 0)))))

  (func $put (param $byte i32)
    (if (i32.or
          (i32.eq (local.get $byte) (i32.const 10))
          (i32.eq (global.get $length) (i32.const 1024)))
      (then (call $end_line)))
    (if (i32.ge_u (local.get $byte) (i32.const 32))
      (then
        (i32.store8 (i32.add (i32.const 4096) (global.get $length)) (local.get $byte))
        (global.set $length (i32.add (global.get $length) (i32.const 1))))))

  (func (export "fd_write") (param $fd i32) (param $parts i32) (param $count i32) (param $written i32) (result i32)
    (local $at i32) (local $end i32) (local $sum i32)
    (block $done
      (loop $part
        (br_if $done (i32.eqz (local.get $count)))
        (local.set $at (i32.load (local.get $parts)))
        (local.set $end (i32.add (local.get $at) (i32.load offset=4 (local.get $parts))))
        (local.set $sum (i32.add (local.get $sum) (i32.load offset=4 (local.get $parts))))
        (block $read
          (loop $byte
            (br_if $read (i32.ge_u (local.get $at) (local.get $end)))
            (call $put (i32.load8_u (local.get $at)))
            (local.set $at (i32.add (local.get $at) (i32.const 1)))
            (br $byte)))
        (local.set $parts (i32.add (local.get $parts) (i32.const 8)))
        (local.set $count (i32.sub (local.get $count) (i32.const 1)))
        (br $part)))
    (i32.store (local.get $written) (local.get $sum))
    (i32.const 0))

  (func (export "proc_exit") (param i32) (call $end_line) (unreachable))

  (func (export "clock_time_get") (param i32 i64 i32) (result i32)
    (global.set $now (i64.add (global.get $now) (i64.const 1000)))
    (i64.store (local.get 2) (global.get $now))
    (i32.const 0))
  (func (export "clock_res_get") (param i32 i32) (result i32)
    (i64.store (local.get 1) (i64.const 1000))
    (i32.const 0))

  ;; The same in every instance, so that hash maps work and the same question gets the same answer. Xorshift.
  (func (export "random_get") (param $at i32) (param $length i32) (result i32)
    (local $end i32)
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (block $done
      (loop $next
        (br_if $done (i32.ge_u (local.get $at) (local.get $end)))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 13))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shr_u (global.get $seed) (i64.const 7))))
        (global.set $seed (i64.xor (global.get $seed) (i64.shl (global.get $seed) (i64.const 17))))
        (i64.store8 (local.get $at) (global.get $seed))
        (local.set $at (i32.add (local.get $at) (i32.const 1)))
        (br $next)))
    (i32.const 0))

  ;; No arguments and no environment.
  (func $none (param i32 i32) (result i32)
    (i32.store (local.get 0) (i32.const 0))
    (i32.store (local.get 1) (i32.const 0))
    (i32.const 0))
  (func $nothing (param i32 i32) (result i32) (i32.const 0))
  (export "args_sizes_get" (func $none))
  (export "environ_sizes_get" (func $none))
  (export "args_get" (func $nothing))
  (export "environ_get" (func $nothing))

  (func (export "sched_yield") (result i32) (i32.const 0))

  ;; Whatever is waited for has happened: one event, for the first subscription.
  (func (export "poll_oneoff") (param $in i32) (param $out i32) (param $count i32) (param $events i32) (result i32)
    (i64.store (local.get $out) (i64.load (local.get $in)))
    (i64.store offset=8 (local.get $out) (i64.const 0))
    (i32.store (local.get $events) (i32.const 1))
    (i32.const 0))

  ;; Files and sockets, of which there are none: error 8.
  (func $no_i (param i32) (result i32) (i32.const 8))
  (func $no_ii (param i32 i32) (result i32) (i32.const 8))
  (func $no_iii (param i32 i32 i32) (result i32) (i32.const 8))
  (func $no_iiii (param i32 i32 i32 i32) (result i32) (i32.const 8))
  (func $no_iiiii (param i32 i32 i32 i32 i32) (result i32) (i32.const 8))
  (func $no_open (param i32 i32 i32 i32 i32 i64 i64 i32 i32) (result i32) (i32.const 8))
  (func $no_at (param i32 i32 i32 i64 i32) (result i32) (i32.const 8))
  (func $no_seek (param i32 i64 i32 i32) (result i32) (i32.const 8))
  (export "fd_close" (func $no_i))
  (export "fd_sync" (func $no_i))
  (export "fd_datasync" (func $no_i))
  (export "fd_fdstat_get" (func $no_ii))
  (export "fd_fdstat_set_flags" (func $no_ii))
  (export "fd_filestat_get" (func $no_ii))
  (export "fd_prestat_get" (func $no_ii))
  (export "fd_tell" (func $no_ii))
  (export "fd_renumber" (func $no_ii))
  (export "sock_shutdown" (func $no_ii))
  (export "fd_prestat_dir_name" (func $no_iii))
  (export "path_create_directory" (func $no_iii))
  (export "path_remove_directory" (func $no_iii))
  (export "path_unlink_file" (func $no_iii))
  (export "sock_accept" (func $no_iii))
  (export "fd_read" (func $no_iiii))
  (export "path_filestat_get" (func $no_iiiii))
  (export "path_symlink" (func $no_iiiii))
  (export "sock_send" (func $no_iiiii))
  (export "fd_readdir" (func $no_at))
  (export "fd_pread" (func $no_at))
  (export "fd_pwrite" (func $no_at))
  (export "path_open" (func $no_open))
  (export "fd_seek" (func $no_seek)))
