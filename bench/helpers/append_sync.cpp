// What the disk alone gives: write, fdatasync, and again, appending to one file.
//
//     append_sync FILE SIZE SECONDS
//
// Prints one line of JSON.

#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>

int main(int argc, char **argv) {
    if (argc != 4) {
        std::fprintf(stderr, "usage: append_sync FILE SIZE SECONDS\n");
        return 2;
    }
    int file = open(argv[1], O_WRONLY | O_CREAT | O_APPEND, 0600);
    if (file < 0) {
        std::perror("append_sync: open");
        return 1;
    }
    const std::string record(std::strtoul(argv[2], nullptr, 10), 'x');
    const double seconds = std::atof(argv[3]);

    auto start = std::chrono::steady_clock::now();
    double elapsed = 0;
    long writes = 0;
    while (elapsed < seconds) {
        if (write(file, record.data(), record.size()) != static_cast<ssize_t>(record.size()) || fdatasync(file) != 0) {
            std::perror("append_sync");
            return 1;
        }
        writes++;
        elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    std::printf("{\"messages\": %ld, \"seconds\": %.6f, \"messages_per_second\": %.1f}\n", writes, elapsed,
                static_cast<double>(writes) / elapsed);
}
