# The front door; the build itself is CMakeLists.txt. Targets that need packages first
# install what is missing (tools/setup.sh).
#
#   make                  build/ocelli, build/libocelli.so.0, build/libocelli.a
#   make demo             read the pictures of text in examples/lines
#   make test             all tests; last line: "N passed, N failed"
#   make bench            programs of bench/, then run them
#   make fuzz             every fuzz target for FUZZ_SECONDS (60)
#   make coverage         share of lines that the tests run
#   make install PREFIX=  default /usr/local; DESTDIR is respected
#   make style            the style and layer checks
#   make clean            removes build/ and build-*/
PREFIX ?= /usr/local
BUILD ?= build
JOBS ?= $(shell nproc 2>/dev/null || echo 2)
FUZZ_SECONDS ?= 60

# A nested make would take the outer one's job server and its announcements of folders.
CMAKE = env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL cmake
CONFIGURE = $(CMAKE) --preset release -B $(BUILD) --log-level=WARNING >/dev/null

.PHONY: all demo test bench fuzz coverage install style clean

all:
	@tools/setup.sh build
	@test -f $(BUILD)/CMakeCache.txt || $(CONFIGURE)
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target product

demo: all
	@BUILD=$(BUILD) tools/demo.sh

test:
	@tools/setup.sh test
	@$(CONFIGURE) -DOCELLI_TESTS=ON
	@$(CMAKE) --build $(BUILD) -j $(JOBS)
	@JOBS=$(JOBS) tools/run_tests.sh $(BUILD)

bench:
	@tools/setup.sh build
	@$(CONFIGURE) -DOCELLI_BENCH=ON
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target product bench_programs
	@BUILD=$(BUILD) tools/bench.sh

fuzz:
	@tools/setup.sh fuzz
	@$(CMAKE) --preset fuzz --log-level=WARNING >/dev/null
	@$(CMAKE) --build build-fuzz -j $(JOBS)
	@tools/fuzz.sh build-fuzz $(FUZZ_SECONDS)

coverage:
	@tools/setup.sh test
	@$(CMAKE) --preset coverage --log-level=WARNING >/dev/null
	@$(CMAKE) --build build-coverage -j $(JOBS)
	@find build-coverage -name '*.gcda' -delete
	@JOBS=$(JOBS) tools/run_tests.sh build-coverage
	@tools/coverage.sh build-coverage

# The prefix is built in: where the library looks for bundled models at last.
install:
	@tools/setup.sh build
	@$(CONFIGURE) -DCMAKE_INSTALL_PREFIX=$(abspath $(PREFIX))
	@$(CMAKE) --build $(BUILD) -j $(JOBS) --target product
	@$(CMAKE) --install $(BUILD)
	@if [ -z "$(DESTDIR)" ] && [ "$$(id -u)" = 0 ]; then ldconfig; fi

style:
	@tools/check_style.pl
	@tools/check_layers.pl

clean:
	rm -rf build build-*/
