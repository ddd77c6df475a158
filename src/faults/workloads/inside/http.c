// SPDX-License-Identifier: MIT
/*
 * http files FOLDER
 * http URL RATE CLIENT [ARGUMENT...]
 *
 * The first form writes the files of a server into a folder, which need not be
 * there. The second has a client fetch them from under a URL, one after the
 * other, no more than RATE a second, each by a process of its own that gets a
 * file's URL as its last argument and writes what it fetches to standard output.
 * It says what it sees (word.h) until its input ends. An operation is a request.
 *
 * It has failed if the client says so by its status, or has not ended after
 * LIMIT. What comes that is not the file's content is wrong; so is a part of it
 * that the client takes for all.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "content.h"
#include "word.h"

#define LIMIT (10 * 1000 * MS)
#define MOST 65536
/* How often it is looked whether a client that has closed its output has ended. */
#define LOOK (5 * MS)

/* Sizes of the files, bytes: around those of segments, pages and a window. */
static const size_t sizes[] = {
	1, 1460, 65536, 100, 4096, 20000, 512, 1461, 32768, 7, 8192, 50000, 1000, 2920, 16384, 65535,
};

#define FILES (sizeof(sizes) / sizeof(*sizes))

static void content_of(unsigned int file, uint8_t *to)
{
	fill(to, sizes[file], file, 0);
}

static int write_files(const char *folder)
{
	static uint8_t content[MOST];
	unsigned int i;

	if (mkdir(folder, 0755) && errno != EEXIST)
		die(folder);
	for (i = 0; i < FILES; i++) {
		char path[4096];
		int fd;

		snprintf(path, sizeof(path), "%s/%u", folder, i);
		content_of(i, content);
		fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
		if (fd < 0 || write(fd, content, sizes[i]) != (ssize_t)sizes[i] || close(fd))
			die(path);
	}
	return 0;
}

/* Starts a client, with its output in a pipe. Its process. */
static pid_t start(char **client, int output, int errors)
{
	pid_t parent = getpid(), pid = fork();

	if (pid < 0)
		die("fork");
	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent || dup2(open("/dev/null", O_RDONLY), STDIN_FILENO) < 0 ||
	    dup2(output, STDOUT_FILENO) < 0 || dup2(errors, STDERR_FILENO) < 0)
		_exit(126);
	execvp(client[0], client);
	_exit(127);
}

/* The end of a client, which has closed its output. False if it does not come in time. */
static bool end_of(pid_t pid, uint64_t deadline, int *status)
{
	while (waitpid(pid, status, WNOHANG) == 0) {
		if (now_ns() >= deadline)
			return false;
		sleep_until(now_ns() + LOOK);
	}
	return true;
}

/*
 * Reads what a client writes: how much, at most MOST + 1; less than 0 if it does
 * not end in time.
 */
static ssize_t output_of(int fd, uint8_t *to, uint64_t deadline)
{
	ssize_t size = 0;

	for (;;) {
		struct pollfd look[2] = { [1] = { .fd = fd, .events = POLLIN } };
		uint8_t more[4096];
		ssize_t got;

		wait_until(look, 2, deadline);
		if (!look[1].revents) {
			if (now_ns() >= deadline)
				return -1;
			continue;
		}
		got = read(fd, more, sizeof(more));
		if (got <= 0)
			return size;
		if (got > MOST + 1 - size)
			got = MOST + 1 - size;
		memcpy(to + size, more, (size_t)got);
		size += got;
	}
}

/* What a client had to say, in one line. */
static const char *said(int errors)
{
	static char text[128];
	ssize_t size = pread(errors, text, sizeof(text) - 1, 0);

	text[size < 0 ? 0 : size] = 0;
	text[strcspn(text, "\n")] = 0;
	return text;
}

static void request(char **client, int errors, unsigned int file)
{
	static uint8_t expected[MOST], content[MOST + 1];
	uint64_t deadline = now_ns() + LIMIT;
	int output[2], status, code;
	ssize_t size;
	size_t at;
	pid_t pid;

	if (pipe2(output, O_CLOEXEC))
		die("pipe");
	if (ftruncate(errors, 0) || lseek(errors, 0, SEEK_SET))
		die("what the client says");
	pid = start(client, output[1], errors);
	close(output[1]);
	size = output_of(output[0], content, deadline);
	close(output[0]);
	if (size < 0 || !end_of(pid, deadline, &status)) {
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		failed("file %u: not fetched after %llu s", file, LIMIT / (1000 * MS));
		return;
	}
	code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	if (code == 126 || code == 127) {
		fprintf(stderr, "http: cannot start %s\n", client[0]);
		exit(1);
	}
	content_of(file, expected);
	at = differ(expected, content, (size_t)size < sizes[file] ? (size_t)size : sizes[file]);
	if (at < sizes[file] && at < (size_t)size)
		wrong("file %u: byte %zu is %02x, not %02x", file, at, content[at], expected[at]);
	else if (code)
		failed("file %u: status %d: %s", file, code, said(errors));
	else if ((size_t)size != sizes[file])
		wrong("file %u: %zd bytes, not %zu", file, size, sizes[file]);
	else
		well();
}

static void fetch_on(int argc, char **argv)
{
	uint64_t period = 1000 * MS / number(argv[2], 1, 1000);
	char **client = argv + 3, *url;
	uint64_t next;
	unsigned int file;
	int errors = memfd_create("errors", MFD_CLOEXEC);

	if (errors < 0 || asprintf(&url, "%s/%u", argv[1], (unsigned int)FILES) < 0)
		die("memory");
	/* The place behind the last argument, where the URL goes, and the end of the list. */
	client = memcpy(calloc((size_t)argc, sizeof(*client)), client,
			(size_t)(argc - 3) * sizeof(*client));
	client[argc - 3] = url;
	begin();
	next = now_ns();
	for (file = 0;; file = (file + 1) % FILES) {
		uint64_t now;

		sprintf(url, "%s/%u", argv[1], file);
		request(client, errors, file);
		now = now_ns();
		next = next + period > now ? next + period : now;
		sleep_until(next);
	}
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "files"))
		return write_files(argv[2]);
	if (argc >= 4)
		fetch_on(argc, argv);
	fprintf(stderr, "usage: http files FOLDER\n"
			"       http URL RATE CLIENT [ARGUMENT...]\n");
	return 64;
}
