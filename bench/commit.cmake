# Writes a source with the commit of the checkout at SOURCE to OUTPUT, if it changed: "897a8d6",
# "897a8d6-dirty" with changes that are not committed, "unknown" outside a checkout.
# cmake -DSOURCE=... -DOUTPUT=... -P this
set(commit unknown)
find_program(git git)
if(git AND EXISTS ${SOURCE}/.git)  # not the checkout of another project around this one
  execute_process(COMMAND ${git} -C ${SOURCE} describe --always --dirty --exclude=*
                  OUTPUT_VARIABLE described RESULT_VARIABLE code ERROR_QUIET
                  OUTPUT_STRIP_TRAILING_WHITESPACE)
  if(code EQUAL 0)
    set(commit ${described})
  endif()
endif()
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT [[
namespace nibble {
extern const char* const kBuildCommit;
const char* const kBuildCommit = "@commit@";
}  // namespace nibble
]] @ONLY)
