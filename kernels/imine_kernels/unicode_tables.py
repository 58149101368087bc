"""Classes of words and characters, and case folding; made by tools/generate_unicode_tables.py."""

from __future__ import annotations

import base64
import zlib
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

UNICODE_VERSION = "14.0.0"


class WordTables(NamedTuple):
    """Two-stage table: ``properties[stage2[stage1[cp >> 7] * 128 + (cp & 127)]]``.

    Attributes:
        stage1: (8704,) block of each run of 128 code points.
        stage2: (blocks * 128,) property number.
        properties: (88, 2) word class (0 other, 1 word, 2 mark, 3 single, 4 joiner) and the
            difference of the folded code point from the code point.
        ascii: (256,) by byte: folded byte of an ASCII letter or digit, 0 for another ASCII byte, 1 where the
            byte alone does not tell (joiners, bytes of longer characters).
    """

    stage1: NDArray[np.uint16]
    stage2: NDArray[np.uint8]
    properties: NDArray[np.int32]
    ascii: NDArray[np.uint8]


@cache
def word_tables() -> WordTables:
    """The tables, unpacked once a process and read-only.

    Examples:
        >>> int(word_tables().ascii[ord("Q")]) == ord("q")
        True
    """
    stage1 = _decode(_STAGE1, "<u2")
    stage2 = _decode(_STAGE2, "u1")
    properties = _decode(_PROPERTIES, "<i4").reshape(-1, 2)
    code_points = np.arange(256)
    kind, delta = properties[stage2[stage1[code_points >> 7].astype(int) * 128 + (code_points & 127)]].T
    ascii_fold = np.where(kind == 1, code_points + delta, 0)
    ascii_fold[(code_points >= 128) | (kind == 4)] = 1
    tables = WordTables(stage1, stage2, properties, ascii_fold.astype(np.uint8))
    for array in tables:
        array.setflags(write=False)
    return tables


class CharacterTables(NamedTuple):
    """Two-stage table: ``stage2[stage1[cp >> 7] * 128 + (cp & 127)]`` is a class of imine_kernels.classes.

    Attributes:
        stage1: (8704,) block of each run of 128 code points.
        stage2: (blocks * 128,) class of the character.
    """

    stage1: NDArray[np.uint16]
    stage2: NDArray[np.uint8]


@cache
def character_tables() -> CharacterTables:
    """The classes of characters, unpacked once a process and read-only.

    Examples:
        >>> tables = character_tables()
        >>> int(tables.stage2.reshape(-1, 128)[tables.stage1[0], ord("Q")])
        1
    """
    tables = CharacterTables(_decode(_CHARACTER_STAGE1, "<u2"), _decode(_CHARACTER_STAGE2, "u1"))
    for array in tables:
        array.setflags(write=False)
    return tables


def _decode(packed: bytes, dtype: str) -> NDArray[Any]:
    values = np.frombuffer(zlib.decompress(base64.b85decode(packed)), dtype=dtype)
    return np.ascontiguousarray(values, dtype=values.dtype.newbyteorder("="))


_STAGE1 = (
    b"c-rmNg;SJ47{~FiEq1qJgWVmd*ooNP-Q9tQfeLmv2)5YW-Cci<%MN$ra5v+PaQKe?KF{pFyZi3D``peu?-iyHk4fYSbGc10&$z<_"
    b"T2h83lx91-X-+c7s7Y;VQI$)?bDlcXr5g3P$QF*`GO>s@^rAa8Y|q6CLfFH4%5jj9Okx-9xy)I1(%Rfz%Omcwp97So164SLTOI~_"
    b"+F6Jot>-*s9Q`Pm+ONb5D$<prw6p!MnG)|aX`g>TTwc-H)?K(yaqe=MB(`yZt!$t=(LUxoIY#3IDd+r!k2GeQ&1yD1xW*bv@S2XS"
    b"rUK>7tig<77~dGmc)r_tGiXEuMlgt(BruBU^kyMX*<oe}F_8%z;UuRy!zudElyhc$9h*$OnT^CTz_em1MiYu~oP9QzFnZFAy{47d"
    b"lmcnat3NAEJ<so7R?_Rlr>66)-0LjB8Ql5IVh%BM^Ni;wlEqvN@cX;U$JjDj;1t>IyZzSY73J3x%W0KiyI)Ve=HLYR$VG0`Udj*}"
    b"+I+^+m$sg{H>m9O{BTpQm@>uoO8M9!r&(t{KYkg>%49;#wLamVu}*$xoXzLAL7{M7d`kBU?@W0Wu>9Wqg){m5NB{jP@$xtKGa^19"
    b"A|fIpA|fIpA|fIpA|fIpA|fIpB7t^`n>qv$5fKrQ|G-ZRh8o="
)

_STAGE2 = (
    b"c-rM1hk_j?a73OZmRMpryO+dh?$jiv*t<q!FVX-16Su*_z$`PACF<Pe-rKkP7#OBA5P<(9C<`4?cfsFr<P)3>F#VZd_d%*hFs~Ya"
    b"x(B^s`Lp}<s|a*t_uV_8wxKtE)d7EHw%<XBHsJmQ)TY1U%x}Z#>}WHGsh&qX^<vg#6#XGVeh`xCKJzyqGClPv0TjtkT9O^<nnYrG"
    b"GYnN%kzZy%E3;y$d?o0vQo{x~DECLHL(z|g@#4FKO47Ruf1QvZwHL)uWUn-o^mh`6L`RfniB}A=h!=Gg9Y0Yxya0SmDj1%R8{qv9"
    b"mWvNt`2%K5f&7g_4(4Y+KI{;Y=sdBjBClRYUWeo3V>k~NE-2EJQo8owUR-q58>Ro=P=ivvG`v4LI+6|oTCl;%Mj&W4<sy`e*0jp="
    b"qzrsEh(wKnl4;`7dH%)XU#&6-9}WLL{$!^9r=CZ$&fokbrtfD6Li%g9Dg+y;E^eNAH{bCY1qIfys9-EvA%g{CzjOd-o^x(#N6{Lp"
    b"4G)ASz@bmt;DxV|_+7~U5EFQTJk{2}ertJ}uYRDT`ohGzu7Rd{<Z!_93wli<Ee^lK`BsqqK~5flMpoBlSswmHa-Cqq4aAps^OHy_"
    b"@XWdR70?{Hg<l&55Q~qoR9Z)G{bq_+2_AH`rXjp(6nuT{={p^_FHF$J5^4AA7M)Z!6q!}o$lpx^oSzceW#r%*{}i?*ej+nwA+XGC"
    b"3=bIYS)R9_nQ6kgP)D)HELTDgVWWu#nxsU?Q(+JdNnHrYU}ri=kn?EO{51Y32*x4=Gt*naDfA|Dt3|6dW=>XG`SL85KhMPgdS3F("
    b"m8RoK>|cPSMVPIRO)_a}{M_atGz%zx%?f`b9yAdj_g)E%BmmN2CIK|Vov~iQ7Jl#X9Wv_}|2uq`9*(UBkQ1$47asYyz|6Ax&jIm0"
    b"sIGz`eW%Eo1(A?}69Vzw>CGqltY6ddQQS>R31mI|d4o%<3=%&%U9fe(V)z9z?u;&HOMBS07@`4wvD?FpdZ_LRS3i(J1|sfiw|<So"
    b"sh+h7(R>Vow=2WN32?ee5V;i2L(CyT`9O{r*RDPRiY=)(lvE)Mo05(AQ{o7O6QG;utM2td6@0P6K)ZK+R4V_>eoeU}y-ARgU(EA_"
    b"{%T^c_pJn@1ICuU6Ra3yNsi7QpGosMS#gN33bkCM#sj;{0Pbw3pOd!(Lf+`D2buWu>-DJQF_W}d|HPdjAwN~D4`mrPM|I|CC8oWq"
    b"tlwy3SiW8=t?z*xkE50^vMwYR_{GF>la{LW(%9s$6{h!f@Z$xo7R$|ZHnyi%!0`v9x?7r}gvwSy%1FN3itV#%?Un6q|8lypN7Y0E"
    b"S#li&YIT6yzuLs2W9PjJS9t!@W`4UOA9O0`5sok1^i_ujG);WttD4ZOd-;{qj5I&kj1l)PKkJU4wJzFPBWa~&&_*esO*m5o6v5Vt"
    b"JiUt=RR{iKcB(kPR4bixk4#MOj`XHQ@5$)R4eGxS&JrS2_eXUhR6-izXOmv3uYVaOCNppAbbXB&w_5D!(i5e(LMyNRb%%!5+2hCl"
    b"C7qw#ULD9KK1uAd`qQGhcQzWd#*cS5lb*ivr@0FL7F)4$(W^{)*TNsFFSk8gaH*}ln#XgM9zlEMY-ttf_hkc!*n|M5clFmdBNJaR"
    b"e>PXi+_LPBsdg$dm+_+gsppVK*ZVVg6%vM0(+xQDWv>ME3;WNcw@y?orSexB{10{+BXZyRXjSzapZ^kuwNbvtTwYng+?=nd`|0Q5"
    b"%KSrpAM^iq`{)|R>#J9<!MbPny#cOSe`vga{klKC8#gXF1;saS-nwO;R~$vGYsPEdd>&fzSDOE{F=0BTi!=n=gNxTgrN=Qzvp(td"
    b"6VIK{SPz}D08XdIPBV@YknexBTpsR!UAGBP`(M4S-os-){*ByS5LvkR*ZuEk^Cm?0-}>`o0^?<EGt~`e9m8M0&#bRe@=(~ZirS;M"
    b"8IP#JhsL_}hY#w^nL!Uc^5|p3yT{epCq|`k_DS{BT(|!8@T=z6bLYkno;j?FLp^&~euHxN$Vby-&pmIhbDZI=O&wUoD3^U+4pLq)"
    b"mEKuWU;kA~fv`Dl&K-DzDno5kEwdnbyv-<Zmf{b`ta<WA^G8PXg>sk<MLBJ`j#UzWmDL(LaM$_gAL!Wm2j2N3)*oIG;|}<HP(^Du"
    b"I@JFvh>1h{<Bunws$PiV#VUTA@$(<NNT=3hM#_)WmS<(^E5W7{nSmR|txNQue~1FZ{ws$4SGIIHe*T3w{!;rB4Z-QHiIEQ>78`3n"
    b"By8e;V`Yk|QSRRZI&Niqzh-JbXO(yta@Q}&{iVh9*V2yUd^IAjdS|FK{(mh@J}?~2hKkn?w!}T}Jk7U~9yfDm>bRBld$n=K=bayZ"
    b"{OOMR`IldR!*_oF<InMB*$+GV)%G$jf#?`e`jpUj3r`y@J*%{SeGHZWX`kRS3#=oS>d!88T!%XG`N|6N@%R3DfD$xeI}b9ybwo<X"
    b"3kUV$OJf5szw&D2d|f7-mqTej*!$+22x^~qoTBe#A;|H6{>7K38()3>&A0QUFL3)dc`W9rD4hSRp#cEzbk4Sr!hg~kxD`av*W&Sq"
    b"bI^eV()o;zk<u5Xz3R;$ZTY`_S9(*X_x$u`kiEI}<Q{{&OlVaciT6X!udtDL0%9d85B^R9e?cgxUf>_SH5Td"
)

_PROPERTIES = (
    b"c-l?TKWoBJ6ozp%9dxm-l@vs<m3DD;5OokoorOX_M7x&K#kE@(LBY+<p&djK!9gtck0rtCU=+84AP7|u;+69V2^@aB=W<VOZd@*T"
    b"PSEWzq{`#S$BNsweXxi_`X4yJ9QN@YKk)~@(LfW&_=^+tV43&#@By!{Wc`L5B`3%k_Gj@9FED~BOrjUN%-Ld|{wc;(X^wll)y1zD"
    b"=B{O5dM<95^M?Oe!xBE@BR(k)|Lxoob@W@ZUS)oIDmGB(Tmkf%(hsi0GxEX^HS&x+#}4l9#Zf_QVjW+xjY~A~4=Wn?#P_x6_n05$"
    b"yq6eOwFeM>sdf"
)

_CHARACTER_STAGE1 = (
    b"c-rmNg;SJ47{~Fi-Q8lh7}$!f*d2&sg58N7*ou92ccNfncVKtdALHK6dE*F-H+qNX@cTTo`|dvPzVF7pGgp`Z8q$<TbmTR~s7_t#"
    b"(U~G_<SY9)MsFT*h6+@oBBgo4c^*=ka+IM9@7O~;4iifVBZ5JEvONc@dCzgS@P$)MU>ZkA;3<h5pf&C3Kz$n1l2&}+GNrhPQ&CfL"
    b"aE%`_a@Ex;>CRQ70c{z^H&_27!zs=H@^Q)b9jOuvQfZ#F82xR1f?)E~gg9<-fyeA+D`jc-pY3Hb{=m7CHLRdHGi-YkgL%sasxXgm"
    b"*72D_X4EJSGL9OIWeQd8xLI_k8{;|3Y|e6snMAUfK=zx_*_p~=PIHHQ+~+Ps>B$3=-^?~s?_@i>8EIO($U_hEa*mUBEqxh6FJetA"
    b"iz&H(Ij<4iFm<%YJ1dan#HV}Vtemk3{N}fF#vJCegMsdRE^e}n=RW>^*Cvx&PAL8&y<O2HTd()%iB<IR+Uze}*G$|dCt1m6+CkKz"
    b"8MSFaE!q&`9{Z9KNuKXy$}>}<Y_DK4Gh{aVT1d^GGU>QZd2{VbKX>km$1Bc|;`gOc_*bm_>o?3bWsJ|(H}M~wNz5Pre~kXkeQ(54"
    b"L_|bHL_|bHL_|bHL_|bHL_|bHM8wzL@JfduA|fIpk_LPS?bBv@"
)

_CHARACTER_STAGE2 = (
    b"c-rM1iJG(~EJ}xsv+w`Dl{<u6Q1@%G|IRoffsmU(0sd#@6PKsKi?irI=JWC4|KrQEaPgqm!}yn~xKGJ{y?wsjltY+$SKuM|w5VYt"
    b"zQb;h^W3LY-iH5BFFv<--~lG8l&w+rMj7U(9{di7#k<EB<bAexqE~)oC5b3V7fllOi$Ecl&~IP8Mf#lx=xwLhzHd{Pa1*0%x4lDN"
    b"uPqJ9-<VvO>8~P(vi<SAEe3QrKdQu!^-tde0hP^ioF88d{nv>6VwpA1x8Q&>YvTEoNCE}MbB)%~3g94mlS2E8cvdPHAZmmS1MW^K"
    b"uFweQrFeoB=$3Vwt9Dbd#DAs|Xx>v*M~QefgBn6BW9A2)o)CxUll`QWk5E>0iTt2}GNAfTD(b^TFc>+`=;?OXz+DR(ZP(GXXa5+&"
    b"QGfJL291U~&86-&dG2cBPRyy=rh>!d-n6$;Q$aeKGK2{JD_957KZyyIIW}Ovid3>iUSFaTEu0!@1AQckpmA2gS;0{UmG4~+PHbL;"
    b"&y4@1KKK5j-|=_0$!w(|B}Pn~&_6G;nSPiz&|_*@?>?x31e})*JsPyIp$i#YXlw8h%CmIA=}#&JBryly!0v;uD@$r@Qb)voGc_4i"
    b"3WhlfUqG1+YVf6Fz|^4T@cqaIc{8gP+8PJ~vK-=FqY%q$%9T<^g!!ut4`t!x?3>?)eS;1A29MvfWh}E(MrVPNvl&&z?qS?{yWn5t"
    b"bSo|Uc!?N)6!<8x&8ju)Z*1BIvaLkezYl)>S`2qooUec!v>}hL;)H)+!D;Iq7<s2>oRxl-IRF}vAv~QJ>*PDtc9bMi#-RS7u80{P"
    b"WY9g@-_zQ(<a05iz}%bd<_mgdq|hz}PRob?z-1-A`l{#I`um6<#LI0qf9Rr{Yp@;XSk1C+{Mj1)plqi#UUsmU)zSy`b!#Jhk~(dm"
    b"QB-1#2G0?;BeibFqvVpm%{yG$gEgws62j)a-*97R*i%cWXJ%e(R^PgJdT7$Yi{dfXxrW3NtjTyHk%PnDc&Dr}xk+bj^itplf@2I*"
    b"L7}JgT<IPDd#vw+eLGs;1x-rtyZ8FqXZK+5VK>v|?@fDP@2PzrEcdiNrGOznKs!OPJW(-#Y#`Rg4nhb)#QsB<wN$mUc4~e0mg|<="
    b";y3FqlbN3V`ud0ye#{`3`(zo2%Oj7Ejrxz1N-%C~5jZ(nvVey=1(~=g3orV`&NLj^fO`89l!x?15_Rt_sEA7c*RdYw9!E~8u%;*}"
    b"dQm!!9FeG_4lt<*d$7--mkBds5$fwLI?M%3_lC(7Zfafh&er$8xiA^e#UX+17(mx5kbzu!jt*BvOhnIN2=vO_p%8f`YyFiD`KYCt"
    b"Nugq(bm?d`zbsy2fbwb^URobdmacgJI)<D@fQf$lBnMd<e{b`A-GlOnn3BYGiSk?~S~Jmt%`YUO>U-gLX1T=mpzz+fodQFX9O#3s"
    b"+~(vpT`nre;vsJ{5obr-ki6K50w}2l-lNeTt{%{6GER!pcwMj4u3gr@*Z98xf4ikPyDJBO%D)(+_w4w)r1*XL!7zh`bSP>~QI|rV"
    b"WD%1*A?2oo*%3h;S>C$HyW~YN|6%mA<v~>DP6NjqGZFuSBx=zwXF9516@|`rwuOROK_nZw-*3-B3%+=@r1pGof<SK~Km$JZPPu2Q"
    b"K`GfuO_wu{iq5lbvjv~?Urq@k$y({6ry+ao;r#4LCd}2Rjm&nSg9L}#9qq$p|B>e#4YZ=Y(bY0>9ljF(Z@s?~_^%)z#jWGNLm}P3"
    b"j?ah$8?0@F7eA!|G~$!pNNC}xg|!)>sCu8;G-LVKvr@TLi|2!_)(Y?1N1~Fz-N&u7@C)(Wx=D}gnDu%2v$hY5sDR|xjKwG3u#s*N"
    b"*000wic9|)JM{)-sojIo1?jg@@%D7QO%!ia<<tBz9p9Pi0g89a>-NeLfAThZc%cJ-!+QL0l`lU8L2m*xU!q9W^zaXSMV{r=sP;#r"
    b"{bMMb0(cF0mKAlnSvoeK$+zQsCx>ARJD;{ELe^Z{$ltSl6J|@`#qsBD7!;HFH`n1SWM_98hh;qENwV|seRG=d^6=d}uN1!gbQ8A_"
    b"m=qCD^Ah}X%s(9eifIn7(c3Ect{d_B7LMP1!nO4L>crGlqrb5JF36D@JioUbpA&Wi@CD$aw6njz5oHK!u9bcGrvqMne%#fGccLZg"
    b"k6`+>S=#ZqXw55I!G9T`=j8l=BJf`PK^>e|eOwYZ2XDiq_4;IDJdi1Vw+OlzFYQf!RPln!z!i-(%y+zp{-qUMF1ys-rMcQQ9H{P%"
    b"t2{2=GS92@6KlOBMg^7U8F@+hIlF&)Y?qyk_va+$na}AJH_5y5{1>cP#z?oUAM_|9xzb;a&c|>nRJMer^!EE4J}6RSybDQBDp627"
    b"^9k)aKtua^Q0V<E&WN0l7nR(M)&z+0^H+REL3;j*Z?|~<N?0sVo3W&UZ$$##57J7EawNeMQ@F3u&~GTlL%~EUd+T4aV_o_iq*ACh"
    b"aJ~U1!hbmb34m<g(N+2RH=<xaR{b~OklJv)hvi?Ny%uC*kBLb0Jz8Q&9l^4{auRet9x-}e)Kd6(Oy|Ql7hGz?c@_T?-Dn;)S3cJ6"
    b"xx;}!(*@iKWPhqxV?*E;RiR$LLY^#Ff)Qn=V*YTJAA_ll&e-n~-uImTcy$RjHJ06!<))KZb=umE1~muT8I;zuAo|P%p&N`n3O^b%"
    b"q<aurCU=HDE=0fBsj>v4J#Ep5aT7j6_E>zU9=vnYcJcf{nLB?lI)Bsq!vQd7w0IAu7}+@}Q~S^RXfmX?#r9vI!8lTSi34*BL5b}v"
    b"<@ZbIB^T+K;Xf7*$>!V1d^|z8{PIEjTXfjp!tbfho%-PShl89(0PQ~jkB4K%Gz(@4LNQJT<k5})s|?ns1RL}5mH7O5K8&$!p<?~%"
    b"@ypSUTzNI}&ZppCE{n#0xtO!I)LA(y`huJMW5r3bqi`IEdm3M;|M~MfNF95e2Oxy?Qo*B+=$ErQ1Lu4)sYtOhr_+A^sf6i{wfPKY"
    b"6DkudKcPhNqeGqee>k*$(LVk`QsL_netf@QhJI6$lifcg{&l`5e(+ZX=|9v%4AXiXJhK*U=k-W%9zkzsgjJ08F2DG?Cz#|XXsRE}"
    b"C!Y_2v*jERa!~hEZoGv5L(#b<__#O6VSe_a#K!^41%S$@Hvj(%f87Nj"
)
