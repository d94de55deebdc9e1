# The house: rules that a compiler does not hold, the installed package, the README.
find_package(Python3 REQUIRED COMPONENTS Interpreter)

function(upconv_script_test name script)
  add_test(NAME ${name} COMMAND Python3::Interpreter ${CMAKE_CURRENT_SOURCE_DIR}/${script} ${ARGN})
  set_tests_properties(${name} PROPERTIES SKIP_RETURN_CODE 77 TIMEOUT 600)
endfunction()

upconv_script_test(arrows arrows_test.py ${PROJECT_SOURCE_DIR})
upconv_script_test(arrows_self_test arrows_test.py ${PROJECT_SOURCE_DIR} --self-test)
upconv_script_test(compile_fail compile_fail/compile_fail_test.py ${PROJECT_SOURCE_DIR} ${CMAKE_CXX_COMPILER})
upconv_script_test(readme readme/readme_test.py ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
# A sanitizer's runtime would have to be linked into the consumers too; what they show does not depend on it.
if(UPCONV_INSTALL AND NOT BUILD_SHARED_LIBS AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize")
  foreach(mode static)
    upconv_script_test(install_${mode} install/install_test.py
      ${mode} ${PROJECT_SOURCE_DIR} ${PROJECT_BINARY_DIR} ${CMAKE_CXX_COMPILER})
  endforeach()
endif()
if(UPCONV_BUILD_FUZZ)
  add_subdirectory(fuzz)
endif()
upconv_script_test(peers_report bench/peers_report_test.py ${PROJECT_SOURCE_DIR})
upconv_script_test(winograd_transforms kernels/winograd_transforms_test.py ${PROJECT_SOURCE_DIR})
# What an optimising GCC makes of the register tiles; other builds spill as they like.
upconv_script_test(spills_self_test kernels/spills_test.py --self-test)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_BUILD_TYPE MATCHES "^Rel" AND NOT CMAKE_CXX_FLAGS MATCHES "-fsanitize|--coverage|-O0")
  upconv_script_test(spills kernels/spills_test.py ${PROJECT_BINARY_DIR})
endif()
