# The package: find_package(upconv [COMPONENTS core io mpi]) and pkg-config upconv-core, upconv-io, upconv-mpi, upconv.
# Each component has its own export set, so that a consumer of core needs nothing that only io needs. A static library
# hands its external libraries on to whoever links it; a shared one keeps them to itself.
include(CMakePackageConfigHelpers)
set(UPCONV_STATIC TRUE)
if(BUILD_SHARED_LIBS)
  set(UPCONV_STATIC FALSE)
endif()
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/upconv)

set(UPCONV_COMPONENTS core)
if(UPCONV_BUILD_IO)
  list(APPEND UPCONV_COMPONENTS io)
endif()
if(UPCONV_BUILD_MPI)
  list(APPEND UPCONV_COMPONENTS mpi)
endif()

# What a static library needs at the final link, for pkg-config: modules that have a .pc file, and plain flags.
set(core_requires_private "tbb libhwy")
set(core_libs_private "-lpthread")
set(io_requires "upconv-core")
set(io_requires_private "hdf5 libzip libpng zlib")
set(mpi_requires "upconv-core")
set(mpi_requires_private "ompi-c")

# The .pc files find their prefix from where they lie, so a prefix chosen at installation holds.
file(RELATIVE_PATH prefix_from_pc /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
function(upconv_pkg_config name description requires requires_private libs libs_private)
  configure_file(${PROJECT_SOURCE_DIR}/cmake/upconv.pc.in ${name}.pc @ONLY)
  install(FILES ${CMAKE_CURRENT_BINARY_DIR}/${name}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig COMPONENT ${name})
endfunction()

foreach(component ${UPCONV_COMPONENTS})
  install(TARGETS upconv_${component} EXPORT upconv_${component}
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
    RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT upconv-${component})
  install(EXPORT upconv_${component} FILE upconv-${component}.cmake NAMESPACE upconv:: DESTINATION ${package_dir}
    COMPONENT upconv-${component})
  if(BUILD_SHARED_LIBS)
    set(${component}_requires_private "")
    set(${component}_libs_private "")
  endif()
  upconv_pkg_config(upconv-${component} "${PROJECT_DESCRIPTION} (${component})" "${${component}_requires}"
    "${${component}_requires_private}" "-lupconv_${component}" "${${component}_libs_private}")
endforeach()
if(UPCONV_BUILD_IO)
  upconv_pkg_config(upconv "${PROJECT_DESCRIPTION}" "upconv-core upconv-io" "" "" "")
endif()

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/upconv DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT upconv-core
  FILES_MATCHING PATTERN "*.h"
  PATTERN "io.h" EXCLUDE PATTERN "mpi.h" EXCLUDE)
foreach(component io mpi)
  if(component IN_LIST UPCONV_COMPONENTS AND EXISTS ${PROJECT_SOURCE_DIR}/include/upconv/${component}.h)
    install(FILES ${PROJECT_SOURCE_DIR}/include/upconv/${component}.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/upconv
      COMPONENT upconv-${component})
  endif()
endforeach()
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} COMPONENT upconv-core)

configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/upconvConfig.cmake.in upconvConfig.cmake
  INSTALL_DESTINATION ${package_dir} NO_SET_AND_CHECK_MACRO)
write_basic_package_version_file(upconvConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/upconvConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/upconvConfigVersion.cmake
  DESTINATION ${package_dir} COMPONENT upconv-core)
