# What the library stands on, all through pkg-config. Debian's names: tools/setup.sh.
find_package(PkgConfig REQUIRED)
set(THREADS_PREFER_PTHREAD_FLAG ON)
find_package(Threads REQUIRED)

set(OCELLI_REQUIRES jansson libpng libjpeg libutf8proc libwebp libwebpdemux libzip hdf5)
foreach(module IN LISTS OCELLI_REQUIRES)
    string(TOUPPER ${module} prefix)
    pkg_check_modules(${prefix} IMPORTED_TARGET GLOBAL ${module})
    if(NOT ${prefix}_FOUND)
        message(FATAL_ERROR "${module} is missing: run tools/setup.sh build")
    endif()
    list(APPEND OCELLI_DEPENDENCIES PkgConfig::${prefix})
endforeach()
