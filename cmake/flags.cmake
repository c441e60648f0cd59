# Flags of everything that is compiled here.
#
# -ffp-contract=off: one ISA gives one result, bit for bit, so the compiler may not decide
# where a fused multiply-add stands; kernels write it out (fmaf, _mm256_fmadd_ps). For the
# same reason -ffast-math and -march=native have no place in this project.
add_compile_options(-ffp-contract=off)
add_compile_definitions(_POSIX_C_SOURCE=200809L)

set(OCELLI_WARNINGS -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wundef)
# cmocka's macros and the deliberate oddities of tests would drown -Wconversion.
set(OCELLI_TEST_WARNINGS -Wall -Wextra -Wshadow -Wstrict-prototypes -Wvla)
if(OCELLI_WERROR)
    add_compile_options(-Werror)
endif()

if(OCELLI_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
        message(FATAL_ERROR "OCELLI_FUZZ needs clang: cmake --preset fuzz")
    endif()
    set(fuzz_flags -fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_compile_options(${fuzz_flags})
    add_link_options(${fuzz_flags})
endif()
